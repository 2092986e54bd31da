"""Training progress: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

_LOG_EVERY = 10


class TrainingProgress:
    """Call it with (epoch, train_loss, validation_loss) after each epoch, inside a `with`."""

    def __init__(self, console: Console, epochs: int) -> None:
        self._console = console
        columns = TextColumn("training"), BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
        self._bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._bar.add_task("", total=epochs)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, epoch: int, train_loss: float, validation_loss: float) -> None:
        line = f"epoch {epoch}: loss {train_loss:.4f}, validation {validation_loss:.4f}"
        self._bar.update(self._task, completed=epoch, description=line)
        if not self._console.is_terminal and epoch % _LOG_EVERY == 1:
            self._console.print(line, highlight=False)
