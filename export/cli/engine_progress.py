"""Progress of TensorRT-RTX engines: a bar each on a terminal, a line each in a log."""

from __future__ import annotations

from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn


class EngineProgress:
    """Call it with (capability, part done), as `export.to_tensorrt.engines` does, inside a `with`."""

    def __init__(self, console: Console) -> None:
        self._console = console
        columns = TextColumn("engine for {task.description}"), BarColumn(), TimeElapsedColumn()
        self._bars = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def __call__(self, capability: str, part: float) -> None:
        if capability not in self._tasks:
            self._tasks[capability] = self._bars.add_task(capability.upper(), total=1.0)
            if not self._console.is_terminal:
                self._console.print(f"building the engine for {capability.upper()}", highlight=False)
        self._bars.update(self._tasks[capability], completed=part)
