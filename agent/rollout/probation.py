"""A bundle that has just begun to run, watched: what becomes of its windows, its alarms and its time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from agent.bundles.probation import Bounds, Seen
from agent.clock import Clock
from agent.config.checked import CheckedMachine
from agent.decide.alarm import Change
from agent.decide.lasting import Likelihood
from agent.infer.slot import ScorerSlot
from agent.pipeline.machine import Machine
from agent.rollout.observing import raised
from agent.types import Verdict

# Of the time from one window to the next, the share that scoring it may take: what is left is for all else, and for other models.
_SHARE_OF_HOP = 0.25


class Probation:
    """`look` is the pipeline's, the rest another thread's."""

    def __init__(self, session: ScorerSlot, failed_steps: Callable[[], int], clock: Clock) -> None:
        self._session = session
        self._failed_steps = failed_steps
        self._clock = clock
        self._began_ns = clock.monotonic_ns()
        self._failures_before = self._failures()
        self._windows = self._alarms = 0

    def look(self, _machine: Machine, verdict: Verdict, _likelihood: Likelihood, changes: Sequence[Change]) -> None:
        """See `Observer.look`."""
        self._windows += verdict.unknown is None
        self._alarms += raised(changes)

    @property
    def seen(self) -> Seen:
        """So far."""
        return Seen(
            ran_ns=self._clock.monotonic_ns() - self._began_ns,
            windows=self._windows,
            alarms=self._alarms,
            failures=max(0, self._failures() - self._failures_before),
            latency_ms=self._session.timing.median_ms,
        )

    def _failures(self) -> int:
        """Runs of the model that gave nothing, and steps of the pipeline that failed, which no other stage's fault explains."""
        runs = sum(count for name, count in self._session.counters.items() if name != "restarts")
        return runs + self._failed_steps()


def bounds_for(bounds: Bounds, machines: Sequence[CheckedMachine]) -> Bounds:
    """With the latency that follows from these machines' windows, where none was set."""
    if bounds.latency_ms:
        return bounds
    contract = machines[0].bundle.manifest.contract
    hop_ms = contract.hop * contract.period_ns / 1e6
    return replace(bounds, latency_ms=_SHARE_OF_HOP * hop_ms / len(machines))
