"""What is tried now: newcomers on probation, and at most one candidate in the shadow; begun, looked at, ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from agent.bundles.comparison import Compared, unmet
from agent.bundles.probation import MOST_FAILURES, Failed, Seen, judge
from agent.clock import Clock
from agent.config.candidate import Prover
from agent.config.checked import CheckedBundles
from agent.errors import BundleError
from agent.infer.bundle import Bundle
from agent.rollout.fleet import Fleet
from agent.rollout.observing import Observing
from agent.rollout.probation import Probation, bounds_for
from agent.rollout.shadow import Shadow, ShadowThread


@dataclass(frozen=True, slots=True)
class _Candidate:
    name: str
    shadow: Shadow


class Trials:
    """One thread's own."""

    def __init__(
        self,
        fleet: Fleet,
        prover: Prover,
        bounds: CheckedBundles,
        *,
        observing: Observing,
        shadows: ShadowThread,
        failed_steps: Callable[[], int],
        clock: Clock,
    ) -> None:
        self._fleet = fleet
        self._prover = prover
        self._bounds = bounds
        self._observing = observing
        self._shadows = shadows
        self._failed_steps = failed_steps
        self._clock = clock
        self._probations: dict[str, Probation] = {}
        self._candidate: _Candidate | None = None

    @property
    def on_probation(self) -> Sequence[str]:
        """Names of the bundles that are watched."""
        return list(self._probations)

    @property
    def in_shadow(self) -> str | None:
        """The name of the candidate that is compared."""
        return None if self._candidate is None else self._candidate.name

    def watch(self, name: str) -> None:
        """Begin the probation of the bundle that runs."""
        self.end(name)
        machines = self._fleet.watched_by(name)
        probation = Probation(machines[0].session, self._failed_steps, self._clock)
        self._probations[name] = probation
        self._observing.set([machine.id for machine in machines], probation)

    def check_free(self, name: str) -> None:
        """Raises BundleError where another candidate is compared: two would take too much from the pipeline."""
        if self._candidate is not None and self._candidate.name != name:
            raise BundleError(f"'{self._candidate.name}' is compared already, and one at a time is: end that first")

    def compare(self, name: str, candidate: Bundle) -> None:
        """Begin to compare; raises BundleError or InferenceError where the candidate cannot be loaded."""
        self.check_free(name)
        self.end(name)
        machines = self._fleet.watched_by(name)
        session = self._prover.load(candidate)
        try:
            models = [self._fleet.model_of(self._prover.fitted(machine, candidate, session)) for machine in machines]
        except BundleError:
            session.close()
            raise
        shadow = Shadow(models, session, machines[0].session)
        self._candidate = _Candidate(name, shadow)
        self._observing.set([machine.id for machine in machines], shadow)
        self._shadows.begin(shadow)

    def end(self, name: str) -> None:
        """Nothing of this name is tried any more."""
        probation = self._probations.pop(name, None)
        if probation is not None:
            self._observing.clear(probation)
        if self._candidate is not None and self._candidate.name == name:
            candidate, self._candidate = self._candidate, None
            self._observing.clear(candidate.shadow)
            self._shadows.end()
            candidate.shadow.candidate.close()

    def end_all(self) -> None:
        """The agent stops."""
        for name in {*self._probations, *([self._candidate.name] if self._candidate else [])}:
            self.end(name)

    def seen(self, name: str) -> Seen | None:
        """How a newcomer has done."""
        probation = self._probations.get(name)
        return None if probation is None else probation.seen

    def compared(self, name: str) -> Compared | None:
        """How a candidate compares."""
        return self._candidate.shadow.report() if self._candidate and self._candidate.name == name else None

    def unmet(self, name: str) -> list[str]:
        """What speaks against promoting the candidate by itself; empty where nobody wants that."""
        found = self.compared(name)
        return [] if found is None or self._bounds.promotion is None else unmet(found, self._bounds.promotion)

    def judged(self, name: str) -> Literal["good", "undecided"] | Failed:
        """Of a newcomer: whether it is good, or gone back from. Of a candidate: whether it is promoted, or given up."""
        seen = self.seen(name)
        if seen is not None:
            return judge(seen, bounds_for(self._bounds.probation, self._fleet.watched_by(name)))
        found = self.compared(name)
        if found is None:
            return "undecided"
        if found.failures >= MOST_FAILURES:
            return Failed(f"it failed {found.failures} times")
        return "good" if self._bounds.promotion is not None and not self.unmet(name) else "undecided"
