"""What the demo says: colours and a progress bar on a terminal, plain lines anywhere else."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn


class Screen:
    """Writes to the console it is given; every text from outside is escaped before it meets rich's markup."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def title(self, text: str) -> None:
        self._console.rule(f"[bold]{escape(text)}", align="left", characters="=")

    def step(self, text: str) -> None:
        """A new act of the story."""
        self._console.print(f"\n[bold cyan]>[/] [bold]{escape(text)}")

    def say(self, text: str, style: str = "") -> None:
        self._console.print(f"  {escape(text)}", style=style, soft_wrap=True, highlight=False)

    def command(self, words: Sequence[str | Path]) -> None:
        """The command that a user would type for what happens next."""
        self._console.print(f"  [dim]$[/] {escape(shlex.join(map(str, words)))}", soft_wrap=True, highlight=False)

    @contextlib.contextmanager
    def progress(self, what: str, total: int, mark: int, mark_text: str) -> Iterator[Callable[[int], None]]:
        """A function to call with how many of `total` are done; `mark_text` appears once `mark` of them are."""
        if not self._console.is_terminal:
            yield lambda done: self._plain(what, done, total, mark, mark_text)
            return
        columns = (TextColumn("  {task.description}"), BarColumn(), TextColumn("{task.completed:.0f}/{task.total:.0f}"))
        with Progress(*columns, TimeRemainingColumn(), console=self._console) as progress:
            task = progress.add_task(what, total=total)

            def update(done: int) -> None:
                progress.update(task, completed=done)
                if done == mark:
                    self.say(mark_text, "yellow")

            yield update

    def _plain(self, what: str, done: int, total: int, mark: int, mark_text: str) -> None:
        if done == mark:
            self.say(mark_text)
        elif done % (total // 6) == 0 or done == total:
            self.say(f"{what} {done}/{total}")
