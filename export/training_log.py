"""Losses epoch by epoch for other programs to follow: lines of JSON, or TensorBoard's event files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from agent.errors import ConfigError, Problem
from export.descent import Report

Settings = Mapping[str, object]


@contextmanager
def opened(targets: Sequence[str], settings: Settings) -> Iterator[Report]:
    """A report to all of `targets`, each KIND=PATH; `settings` are noted beside the losses.

    Raises ConfigError for a target that is none, cannot be written, or whose library is not installed.
    """
    with ExitStack() as stack:
        reports = [stack.enter_context(_opened(target, settings)) for target in targets]

        def report(epoch: int, train_loss: float, validation_loss: float) -> None:
            for each in reports:
                each(epoch, train_loss, validation_loss)

        yield report


def _opened(target: str, settings: Settings) -> AbstractContextManager[Report]:
    kind, _, path = target.partition("=")
    if kind not in _KINDS or not path:
        remedy = "write jsonl=FILE or tensorboard=FOLDER"
        raise ConfigError([Problem(f"--log {target}", "is no kind of log and path", remedy)])
    return _KINDS[kind](Path(path), settings)


@contextmanager
def _json_lines(path: Path, settings: Settings) -> Iterator[Report]:
    """Appends, so that a resumed training goes on in the same file; every start writes its settings first."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a", encoding="utf-8")
    except OSError as error:
        raise ConfigError([Problem(f"--log jsonl={path}", f"cannot be written: {error.strerror}")]) from error

    def write(line: Settings) -> None:
        file.write(json.dumps(line) + "\n")
        file.flush()

    with file:
        write({"settings": dict(settings)})
        yield lambda epoch, train, validation: write(
            {"epoch": epoch, "train_loss": train, "validation_loss": validation}
        )


@contextmanager
def _tensorboard(folder: Path, settings: Settings) -> Iterator[Report]:
    try:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - an extra, imported where it was asked for
    except ImportError as error:
        remedy = "install stethos[tensorboard]"
        raise ConfigError([Problem(f"--log tensorboard={folder}", "TensorBoard is not installed", remedy)]) from error
    try:
        writer = SummaryWriter(folder)
    except OSError as error:
        raise ConfigError([Problem(f"--log tensorboard={folder}", f"cannot be written: {error.strerror}")]) from error
    writer.add_text("settings", f"```json\n{json.dumps(dict(settings), indent=2)}\n```")

    def report(epoch: int, train_loss: float, validation_loss: float) -> None:
        writer.add_scalar("loss/train", train_loss, epoch)
        writer.add_scalar("loss/validation", validation_loss, epoch)
        writer.flush()

    try:
        yield report
    finally:
        writer.close()


_KINDS: dict[str, Callable[[Path, Settings], AbstractContextManager[Report]]] = {
    "jsonl": _json_lines,
    "tensorboard": _tensorboard,
}
