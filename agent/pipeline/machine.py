"""One machine's stages, and the model that may be exchanged in them while the machine is watched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from agent.decide.alarm import MODEL, Change
from agent.decide.day import Day
from agent.decide.explanation import Explainer
from agent.decide.lasting import Likelihood
from agent.decide.machine_alarms import MachineAlarms
from agent.decide.summary import Summary
from agent.decide.yardstick import Yardstick
from agent.infer.scorer import Scorer
from agent.types import TimeQuality, Verdict
from agent.upstream.documents import BundleReference
from agent.window.aligner import Aligner
from agent.window.contract import Contract


@dataclass(frozen=True, slots=True)
class Model:
    """What of a machine's stages comes with its bundle; the alarms are in their first state."""

    machine: str
    bundle: BundleReference
    contract: Contract
    scorer: Scorer
    yardstick: Yardstick
    explainer: Explainer
    alarms: MachineAlarms


@dataclass(slots=True)
class Machine:
    """One machine's stages, from its grid to its alarm; machines with the same scorer have the same bundle."""

    id: str
    devices: Sequence[str]
    aligner: Aligner
    scorer: Scorer
    yardstick: Yardstick
    explainer: Explainer
    alarms: MachineAlarms
    summary: Summary
    day: Day | None = None  # where an interval is shorter than one
    group: str | None = None  # machines whose alarms tend to follow from each other
    newest_ns: int = 0  # end of its latest window
    time_quality: TimeQuality = TimeQuality.ARRIVAL
    lines: dict[str, dict[str, int]] = field(default_factory=dict)  # its devices' counts at the latest summary

    def exchange(self, model: Model) -> None:
        """Be watched by another model from the next window on; raises ValueError, and changes nothing, where it is of other channels or another rate."""
        self.aligner.recut(model.contract)
        self.scorer, self.yardstick, self.explainer = model.scorer, model.yardstick, model.explainer
        self.alarms = model.alarms

    def judge(self, verdict: Verdict, likelihood: Likelihood) -> list[Change]:
        """Take one verdict through the alarms' life cycles."""
        self.newest_ns, self.time_quality = verdict.window.end_ns, verdict.window.time_quality
        self.summary.add_verdict(verdict)
        status = self.alarms.points[MODEL].status
        if verdict.unknown is None and not (status.active or status.overridden):
            self.yardstick.look(verdict)
        changes = self.alarms.judge(verdict, likelihood, lambda: self.explainer.model(verdict))
        if verdict.unknown is None and self.yardstick.adaptation is not None:
            self.yardstick.learn(verdict, alarmed=bool(self.alarms.standing))
        return changes
