"""Named threads that are restarted when they fail, named when they are stuck, and stopped within a bound."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from agent.clock import Clock, SystemClock
from agent.types import NANOSECONDS

_log = logging.getLogger(__name__)

FIRST_BACKOFF_S = 0.5
LONGEST_BACKOFF_S = 30.0
# A body that ran for this long has recovered: its next failure waits the shortest time again.
RECOVERED_NS = 60 * NANOSECONDS

Body = Callable[[threading.Event], None]


def next_backoff_s(previous_s: float, ran_ns: int, first_s: float = FIRST_BACKOFF_S) -> float:
    """How long a body that failed after `ran_ns` waits: twice the wait before it up to a cap, or `first_s` to begin with."""
    if previous_s == 0 or ran_ns >= RECOVERED_NS:
        return first_s
    return min(2 * previous_s, LONGEST_BACKOFF_S)


@dataclass(frozen=True, slots=True)
class ThreadReport:
    """How one thread fares. `failure` says why it waits to be started again, None while it runs."""

    name: str
    restarts: int
    failure: str | None
    silent_ns: int
    stuck: bool


class _Stop(threading.Event):
    """Notes when it was last looked at."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.looked_ns = clock.monotonic_ns()
        self._clock = clock

    def is_set(self) -> bool:
        self.looked_ns = self._clock.monotonic_ns()
        return super().is_set()

    def wait(self, timeout: float | None = None) -> bool:
        self.looked_ns = self._clock.monotonic_ns()
        return super().wait(timeout)


class Supervisor:
    """Runs bodies `body(stop)`, which return only once `stop` is set; anything else is a failure of that thread alone.

    A body's look at `stop` is its heartbeat: whoever does not look in time would not stop in time either.
    """

    def __init__(self, clock: Clock | None = None, first_backoff_s: float = FIRST_BACKOFF_S) -> None:
        self._clock = clock or SystemClock()
        self._first_backoff_s = first_backoff_s
        self._threads: dict[str, _Supervised] = {}

    def start(self, name: str, body: Body, silence_ns: int | None = None) -> None:
        """Run `body` in a thread of this name; it must look at `stop` at least every `silence_ns`, if that is given."""
        if name in self._threads:
            raise ValueError(f"a thread named {name!r} is running already")
        self._threads[name] = _Supervised(name, body, silence_ns, self._clock, self._first_backoff_s)
        self._threads[name].start()

    def report(self) -> tuple[ThreadReport, ...]:
        """Every thread, in the order of their starts."""
        return tuple(thread.report() for thread in self._threads.values())

    def stuck(self) -> tuple[str, ...]:
        """Threads that run and have shown no sign of life for longer than they may."""
        return tuple(report.name for report in self.report() if report.stuck)

    def stop(self, names: Iterable[str], timeout_s: float) -> bool:
        """Ask these threads to end and wait for all of them; False where one runs on when `timeout_s` is over."""
        threads = [self._threads[name] for name in names]
        for thread in threads:
            thread.ask_to_stop()
        deadline_ns = self._clock.monotonic_ns() + round(timeout_s * NANOSECONDS)
        ended = [thread.join(deadline_ns - self._clock.monotonic_ns()) for thread in threads]
        return all(ended)


class _Supervised:
    """One thread and the loop around its body."""

    def __init__(self, name: str, body: Body, silence_ns: int | None, clock: Clock, first_backoff_s: float) -> None:
        self._name = name
        self._body = body
        self._silence_ns = silence_ns
        self._clock = clock
        self._first_backoff_s = first_backoff_s
        self._stop = _Stop(clock)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._beat_ns = clock.monotonic_ns()
        self._failure: str | None = None
        self._restarts = 0

    def start(self) -> None:
        self._thread.start()

    def beat(self) -> None:
        self._beat_ns = self._clock.monotonic_ns()

    def ask_to_stop(self) -> None:
        self._stop.set()

    def join(self, timeout_ns: int) -> bool:
        self._thread.join(max(0, timeout_ns) / NANOSECONDS)
        return not self._thread.is_alive()

    def report(self) -> ThreadReport:
        silent_ns = self._clock.monotonic_ns() - max(self._beat_ns, self._stop.looked_ns)
        overdue = self._silence_ns is not None and silent_ns > self._silence_ns
        return ThreadReport(self._name, self._restarts, self._failure, silent_ns, overdue and self._failure is None)

    def _run(self) -> None:
        backoff_s = 0.0
        while not self._stop.is_set():
            self.beat()
            self._failure = None
            started_ns = self._clock.monotonic_ns()
            try:
                self._body(self._stop)
                failure = "it returned without being asked to stop"
            except Exception as error:  # noqa: BLE001 - the thread's outermost guard
                failure = f"{type(error).__name__}: {error}"
                _log.exception("the thread %s failed", self._name)
            if self._stop.is_set():
                return
            backoff_s = next_backoff_s(backoff_s, self._clock.monotonic_ns() - started_ns, self._first_backoff_s)
            self._failure = failure
            _log.error("the thread %s starts again in %.3g s: %s", self._name, backoff_s, failure)
            self._stop.wait(backoff_s)
            self._restarts += 1
