"""Books: what became of every byte, frame, sample and window, those that a failed step had in hand too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from agent.decide.kpi import AlarmLoad, Load
from agent.decide.yardstick import Fit
from agent.metrics import Balance, Counters
from agent.pipeline.intake import Intake
from agent.pipeline.machine import Machine
from agent.sensors.watch import Sensors
from agent.types import CANARY, Chunk


@dataclass(frozen=True, slots=True)
class PipelineReport:
    """A consistent picture of the pipeline: what became of every byte, frame, sample and window, each device's counts and its sensors."""

    flow: Mapping[str, Balance]
    counters: Mapping[str, int]
    device_counters: Mapping[str, Mapping[str, int]]
    sensors: Mapping[str, Sensors]
    gauges: Mapping[str, Mapping[str, float]]  # of each device's clock, where they are known
    alarms: Load | None = None
    fits: Mapping[str, Fit] = field(default_factory=dict)  # by machine


class Books:
    """counters: failed_steps, and what they had in hand: failed_bytes, failed_frames, failed_samples, failed_windows."""

    def __init__(self, intake: Intake, machines: Mapping[str, Machine], load: AlarmLoad, counters: Counters) -> None:
        self._intake = intake
        self._machines = machines
        self._load = load
        self._counters = counters
        self._taken_bytes = 0

    def enter(self, chunks: Sequence[Chunk]) -> None:
        """A step has taken `chunks`."""
        self._taken_bytes += sum([len(chunk.data) for chunk in chunks])

    def write_off(self) -> None:
        """The step failed: whatever is missing now, it had in hand."""
        self._counters.add("failed_steps")
        for stage, books in self._flow().items():
            self._counters.add(f"failed_{stage}", books.missing)

    def report(self) -> PipelineReport:
        """How the stages stand between two steps."""
        decoders, machines = self._intake.decoders, self._machines
        return PipelineReport(
            flow=self._flow(),
            counters=self._counters.snapshot(),
            device_counters={name: decoder.counters.snapshot() for name, decoder in decoders.items()},
            sensors={name: watch.report() for name, watch in self._intake.watches.items()},
            gauges=self._intake.gauges(),
            alarms=self._load.report(alarm for machine in machines.values() for alarm in machine.alarms.standing),
            fits={name: machine.yardstick.fit for name, machine in machines.items()},
        )

    def _flow(self) -> dict[str, Balance]:
        """Each stage's books, with what failed steps had in hand among the dropped."""
        counters, decoders = self._counters, self._intake.decoders
        read = _total(decoder.balance() for decoder in decoders.values())
        stages = {
            # All that was taken has entered, though a step that failed may never have shown it to a decoder.
            "bytes": replace(read, entered=self._taken_bytes),
            # Of devices: the agent's own samples are bytes that it took, and nothing that anybody measured.
            "frames": _total(decoder.frame_balance() for name, decoder in decoders.items() if name != CANARY),
            "samples": _total(machine.aligner.balance() for machine in self._machines.values()),
            "windows": Balance(counters["windows"], counters["windows_scored"], 0, counters["windows_unknown"]),
        }
        return {
            stage: replace(books, dropped=books.dropped + counters[f"failed_{stage}"])
            for stage, books in stages.items()
        }


def _total(balances: Iterable[Balance]) -> Balance:
    parts = [(each.entered, each.left, each.held, each.dropped) for each in balances]
    return Balance(*(sum(column) for column in zip(*parts, strict=True))) if parts else Balance(0, 0, 0, 0)
