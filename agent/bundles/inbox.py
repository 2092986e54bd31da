"""The folder that bundles are dropped into: a file is taken once it is complete, and one that is refused is put aside with the reason."""

from __future__ import annotations

import contextlib
import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from agent.clock import Clock
from agent.errors import BundleError
from agent.infer.bundle import SUFFIX
from agent.types import NANOSECONDS

log = logging.getLogger(__name__)

SETTLED_NS = 2 * NANOSECONDS
MOST_REFUSED = 8
MOST_REFUSED_BYTES = 512 * 1024 * 1024
_REFUSED = "refused"  # the folder of what was refused
_REASON = ".refused"
_TAKEN = ".taken"
_LONGEST_REASON = 2_000


class _Look(NamedTuple):
    """What of a file changes while it is written."""

    size_bytes: int
    modified_ns: int
    inode: int


class Inbox:
    """Polled by one thread. A file is complete once it has not changed for two seconds. Whatever is no plain file NAME.stethos is left alone.

    While one is proved it is called NAME.taken, so that a file whose proof ends the agent is not taken again at the next start.
    """

    def __init__(self, folder: Path, max_bytes: int, clock: Clock) -> None:
        """`max_bytes` is what a bundle may have."""
        self.folder = folder
        self._max_bytes = max_bytes
        self._clock = clock
        self._seen: dict[str, tuple[_Look, int]] = {}  # and since when it has looked so

    def begin(self) -> list[tuple[str, str]]:
        """Make the folder, and refuse what the agent did not outlive; returns names and reasons. Raises BundleError."""
        with _mapped(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            left = sorted(path.name.removesuffix(_TAKEN) for path in self.folder.glob(f"*{SUFFIX}{_TAKEN}"))
        why = "the agent ended while this file was proved; drop it again to have it tried once more"
        for name in left:
            self.refuse(name, why)
        return [(name, why) for name in left]

    def poll(self) -> str | None:
        """The name of a file that is complete, and taken now: `read` it, then `done` or `refuse` it; None where there is none."""
        with _mapped(self.folder):
            now_ns, seen = self._clock.monotonic_ns(), self._seen
            self._seen = {
                name: seen[name] if name in seen and seen[name][0] == look else (look, now_ns)
                for name, look in self._looks().items()
            }
            settled = sorted(name for name, (_, since_ns) in self._seen.items() if now_ns - since_ns >= SETTLED_NS)
            if not settled:
                return None
            name = settled[0]
            (self.folder / name).rename(self._taken(name))
            del self._seen[name]
            return name

    def read(self, name: str) -> bytes:
        """The bytes of a file that was taken, one more than a bundle may have where it is longer."""
        with _mapped(self._taken(name)):
            descriptor = os.open(self._taken(name), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as file:
                return file.read(self._max_bytes + 1)

    def done(self, name: str) -> None:
        """The store has it."""
        with _mapped(self._taken(name)):
            self._taken(name).unlink(missing_ok=True)

    def refuse(self, name: str, why: str) -> None:
        """Put a file that was taken aside, with the reason in a text beside it; of many the oldest go."""
        aside = self.folder / _REFUSED
        with _mapped(aside):
            aside.mkdir(exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                self._taken(name).rename(aside / name)
            (aside / f"{name}{_REASON}").write_text(f"{why[:_LONGEST_REASON]}\n", encoding="utf-8")
            self._clear(aside)

    def refused(self) -> list[str]:
        """Names of the files that lie aside; they do so until somebody removes them."""
        with _mapped(self.folder):
            return sorted(path.name.removesuffix(_REASON) for path in (self.folder / _REFUSED).glob(f"*{_REASON}"))

    def _looks(self) -> dict[str, _Look]:
        found = {}
        for entry in os.scandir(self.folder):
            if entry.name.endswith(SUFFIX) and entry.name.isprintable() and not entry.name.startswith("."):
                with contextlib.suppress(FileNotFoundError):  # renamed or removed since
                    status = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(status.st_mode):
                        found[entry.name] = _Look(status.st_size, status.st_mtime_ns, status.st_ino)
        return found

    def _clear(self, aside: Path) -> None:
        """Bounded in number and bytes, reasons included."""
        reasons = sorted(aside.glob(f"*{_REASON}"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
        total_bytes = 0
        for number, reason in enumerate(reasons):
            file = reason.with_name(reason.name.removesuffix(_REASON))
            total_bytes += file.stat().st_size if file.exists() else 0
            if number >= MOST_REFUSED or total_bytes > MOST_REFUSED_BYTES:
                file.unlink(missing_ok=True)
            if number >= MOST_REFUSED:
                reason.unlink()

    def _taken(self, name: str) -> Path:
        return self.folder / f"{name}{_TAKEN}"


@contextlib.contextmanager
def _mapped(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BundleError(f"{path}: {error.strerror or error}; let the agent's user write to the inbox") from error
