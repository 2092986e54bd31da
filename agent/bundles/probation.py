"""A bundle has just begun to run: is it good, or is it gone back from? Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from agent.types import NANOSECONDS

# A run that overran its deadline, or ended in any other error, may be an accident; these many are not.
MOST_FAILURES = 3
# Before so many windows a median says nothing of the bundle, for the first runs warm up caches.
LEAST_TIMED = 20


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a bundle must keep while it is on probation; `latency_ms` is the median for one window."""

    lasts_ns: int
    windows: int
    starts: int
    alarms: int
    latency_ms: float


@dataclass(slots=True)
class Seen:
    """What became of it so far, in this run of the agent. `alarms` are those that the model raised, of all machines that it watches."""

    ran_ns: int = 0
    windows: int = 0
    alarms: int = 0
    failures: int = 0
    latency_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """It is gone back from, and why."""

    why: str


def judge(seen: Seen, bounds: Bounds) -> Literal["good", "undecided"] | Failed:
    """A failure counts at once; to be good takes the time and the windows."""
    if seen.failures >= MOST_FAILURES:
        return Failed(f"it failed {seen.failures} times")
    if seen.alarms > bounds.alarms:
        return Failed(f"it raised {seen.alarms} alarms in {_minutes(seen.ran_ns)}, {bounds.alarms} is the most")
    timed = seen.latency_ms is not None and seen.windows >= LEAST_TIMED
    if timed and seen.latency_ms is not None and seen.latency_ms > bounds.latency_ms:
        return Failed(f"it takes {seen.latency_ms:.3g} ms a window, {bounds.latency_ms:.3g} ms is the most")
    return "good" if seen.ran_ns >= bounds.lasts_ns and seen.windows >= bounds.windows else "undecided"


def _minutes(ran_ns: int) -> str:
    return f"{max(1, round(ran_ns / (60 * NANOSECONDS)))} min"
