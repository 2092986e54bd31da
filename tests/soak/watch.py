"""What the daemon's process takes, second by second, over all of its lives."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psutil

from tests.soak.slope import slope

_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at the process."""

    t_s: float
    pid: int
    rss_bytes: int
    fds: int
    threads: int
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Usage:
    """One life from its warm-up to its end: how fast its memory grew, the cores it took, and what it held open.

    Of descriptors and threads the pairs are the most in the first half, and what was there at the end, when all was whole again.
    """

    watched_s: float
    rss_mib_per_hour: float
    most_rss_mib: float
    fds: tuple[int, int]
    threads: tuple[int, int]
    cores: float


class Watch:
    """`run` looks once a second at the process whose id `pid()` gives; None where there is none."""

    def __init__(self, pid: Callable[[], int | None], begun_s: float) -> None:
        self.readings: list[Reading] = []
        self._pid = pid
        self._begun_s = begun_s

    def run(self, stop: threading.Event) -> None:
        """The body of its thread."""
        while not stop.wait(_EVERY_S):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                if (pid := self._pid()) is not None:
                    self.readings.append(_look(pid, time.monotonic() - self._begun_s))


def _look(pid: int, t_s: float) -> Reading:
    process = psutil.Process(pid)
    with process.oneshot():
        times = process.cpu_times()
        rss, fds, threads = process.memory_info().rss, process.num_fds(), process.num_threads()
    return Reading(t_s, pid, rss, fds, threads, times.user + times.system)


def usage(readings: Sequence[Reading], from_s: float, to_s: float) -> Usage:
    """Of the last life among `readings`, between these times; raises ValueError where it was not watched then."""
    life = [reading for reading in readings if reading.pid == readings[-1].pid and from_s <= reading.t_s < to_s]
    if len(life) < 2:
        raise ValueError(f"the daemon was not seen alive twice between second {from_s:g} and {to_s:g}")
    first, last = life[0], life[-1]
    early = life[: len(life) // 2]
    t_s = [reading.t_s for reading in life]
    return Usage(
        watched_s=last.t_s - first.t_s,
        rss_mib_per_hour=3_600 * slope(t_s, [reading.rss_bytes / 2**20 for reading in life]),
        most_rss_mib=max(reading.rss_bytes for reading in life) / 2**20,
        fds=(max(reading.fds for reading in early), last.fds),
        threads=(max(reading.threads for reading in early), last.threads),
        cores=(last.cpu_s - first.cpu_s) / (last.t_s - first.t_s),
    )
