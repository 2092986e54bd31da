"""Progress of training and of a search: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from export.tune import Trial

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

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def __call__(self, epoch: int, train_loss: float, validation_loss: float) -> None:
        line = f"epoch {epoch}: loss {train_loss:.4f}, validation {validation_loss:.4f}"
        self._bar.update(self._task, completed=epoch, description=line)
        if not self._console.is_terminal and epoch % _LOG_EVERY == 1:
            self._console.print(line, highlight=False)


class SearchProgress:
    """Call it with each trial that is over, inside a `with`."""

    def __init__(self, console: Console, trials: int) -> None:
        self._console = console
        columns = TextColumn("searching"), BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
        self._bar = Progress(*columns, console=console, transient=True)
        self._task = self._bar.add_task("", total=trials)
        self._best: float | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def __call__(self, trial: Trial) -> None:
        if trial.value is not None and (self._best is None or trial.value > self._best):
            self._best = trial.value
        best = "none yet" if self._best is None else f"{self._best:.4f}"
        self._bar.update(self._task, completed=trial.number + 1, description=f"trial {trial.number}, best {best}")
        self._console.print(f"trial {trial.number}: {trial.remark}", highlight=False)
