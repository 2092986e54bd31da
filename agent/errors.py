"""Errors by whose fault they are; foreign exceptions become one of these where they enter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

# What msgspec raises for bytes that are not what was expected: text that is no UTF-8 and nests too deep have errors of their own.
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class StethosError(Exception):
    """Root of every error that Stethos raises on purpose."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing an operator must mend: where it stands, what is wrong, what to do about it."""

    where: str
    what: str
    remedy: str = ""

    def __str__(self) -> str:
        """One line, as `stethos check` prints it."""
        tail = f" ({self.remedy})" if self.remedy else ""
        return f"{self.where}: {self.what}{tail}"


class ConfigError(StethosError):
    """The operator's: a configuration file, a profile or a command line. Carries every problem found, not the first."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        """Keep `problems` in the order in which they were found."""
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class DecodeError(StethosError):
    """The device's: bytes that are no frame of its profile. Counted, never fatal."""


class LinkError(StethosError):
    """The wire's: a port or a broker that cannot be reached, or went away."""


class BundleError(StethosError):
    """The model supplier's: a bundle that is unsigned, altered, too new, or gives other outputs than it promised."""


class InferenceError(StethosError):
    """The model's at run time: the session refused, overran its deadline, or gave a result of the wrong shape."""


class DeadlineError(InferenceError):
    """A run overran its deadline and was stopped."""


class OutboxError(StethosError):
    """The disk's: the outbox could not be opened, written or read."""


class RecordError(StethosError):
    """The disk's: a recording could not be written or read."""


class ResponseError(StethosError):
    """The plant's: what an alarm should have done by itself was not done."""


class ResponseTimeoutError(ResponseError):
    """It was not done in its time."""
