"""A candidate in the shadow: it judges the windows that the incumbent judged, in a thread of its own that nobody waits for."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from agent.bundles.comparison import Compared, Comparison, Judged
from agent.decide.alarm import MODEL, Change
from agent.decide.explanation import unexplained
from agent.decide.lasting import Likelihood
from agent.decide.yardstick import cautious
from agent.errors import InferenceError
from agent.infer.slot import ScorerSlot
from agent.pipeline.machine import Machine, Model
from agent.rollout.observing import raised
from agent.types import Float32Array, Verdict, Window

log = logging.getLogger(__name__)

MOST_WAITING = 512
_MOST_AT_ONCE = 64
_WAIT_S = 0.5


class _Item(NamedTuple):
    machine: str
    window: Window
    incumbent: Judged


class ShadowThread:
    """Turns the one comparison that goes on; `run` is the body of a thread."""

    def __init__(self) -> None:
        self._turning = threading.Lock()
        self._begun = threading.Event()
        self._current: Shadow | None = None

    def begin(self, shadow: Shadow) -> None:
        """Turn `shadow` from now on."""
        self._current = shadow
        self._begun.set()

    def end(self) -> None:
        """Turn nothing any more, once the turn that goes on is over."""
        with self._turning:
            self._current = None
            self._begun.clear()

    @property
    def session(self) -> ScorerSlot | None:
        """The candidate's, whose deadline somebody must enforce."""
        current = self._current
        return None if current is None else current.candidate

    def run(self, stop: threading.Event) -> None:
        """Turn until `stop`."""
        while not stop.is_set():
            if not self._begun.wait(_WAIT_S):
                continue
            with self._turning:
                if self._current is not None:
                    self._current.turn()


class Shadow:
    """One comparison. `look` is the pipeline's and never waits: windows that come faster than the candidate judges are dropped and counted.

    The candidate starts without alarms, whatever stands.
    """

    def __init__(self, models: Sequence[Model], candidate: ScorerSlot, incumbent: ScorerSlot) -> None:
        """`models` are the candidate's, one a machine."""
        self.candidate = candidate
        self._incumbent = incumbent
        self._models: Mapping[str, Model] = {model.machine: model for model in models}
        self._comparison = Comparison()
        # Shared, under the condition:
        self._changed = threading.Condition()
        self._waiting: deque[_Item] = deque()
        self._dropped = 0

    def look(self, machine: Machine, verdict: Verdict, likelihood: Likelihood, changes: Sequence[Change]) -> None:
        """See `Observer.look`; windows that cannot be judged are nothing to compare."""
        if verdict.unknown is not None:
            return
        alarmed = machine.alarms.points[MODEL].status.active
        item = _Item(machine.id, verdict.window, Judged(alarmed, likelihood.normal_score, raised(changes)))
        with self._changed:
            if len(self._waiting) >= MOST_WAITING:
                self._waiting.popleft()
                self._dropped += 1
            self._waiting.append(item)
            self._changed.notify()

    def turn(self) -> None:
        """Judge some of what waits; waits for a while where nothing does."""
        with self._changed:
            if not self._waiting:
                self._changed.wait(_WAIT_S)
            items = [self._waiting.popleft() for _ in range(min(len(self._waiting), _MOST_AT_ONCE))]
        if items:
            self._judge(items)

    def report(self) -> Compared:
        """How the two compare so far."""
        return self._comparison.report(self.candidate.timing.median_ms, self._incumbent.timing.median_ms, self._dropped)

    def _judge(self, items: Sequence[_Item]) -> None:
        models = [self._models[item.machine] for item in items]
        inputs = [model.yardstick.model_input(item.window.values) for model, item in zip(models, items, strict=True)]
        try:
            score, channel_score = self.candidate.score(np.stack(inputs))
        except InferenceError as error:
            self._comparison.failures += 1
            log.warning("the candidate in the shadow failed on %d windows: %s", len(items), error)
            return
        for item, model, one, by_channel in zip(items, models, score.tolist(), channel_score, strict=True):
            self._compare(item, model, one, by_channel)

    def _compare(self, item: _Item, model: Model, score: float, channel_score: Float32Array) -> None:
        unknown = None if np.isfinite(score) else "the model gave no finite score"
        verdict = Verdict(item.window, score, channel_score, unknown)
        calibrations = model.yardstick.calibrations_of(item.window.values)
        likelihood = cautious(calibrations, [score - model.yardstick.shift])[0]
        changes = model.alarms.judge(verdict, likelihood, unexplained)
        alarmed = model.alarms.points[MODEL].status.active
        mine = Judged(alarmed, likelihood.normal_score, raised(changes))
        self._comparison.add(item.incumbent, mine, model.contract.hop * model.contract.period_ns)
