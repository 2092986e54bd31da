"""Summaries: a machine's interval, told with how its devices' lines, its alarms and its model fared in it; and its days."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from agent.decide.kpi import AlarmLoad
from agent.decide.summary import SummaryReport
from agent.decode.decoder import Decoder
from agent.pipeline.draft import Draft
from agent.pipeline.machine import Machine

# What a device's line went through, told in health and in summaries even where it is nothing.
LINE_COUNTERS = ("bytes", "frames", "checksum_errors", "decode_errors", "resync_bytes", "lost", "repeated")


class Summaries:
    """Of machines whose devices `decoders` read, and whose alarms `load` counts."""

    def __init__(self, decoders: Mapping[str, Decoder], load: AlarmLoad) -> None:
        self._decoders = decoders
        self._load = load

    def add(self, draft: Draft, machine: Machine, report: SummaryReport) -> None:
        """Tell of an interval that is over, and of the days that are over with it."""
        whole = self._whole(machine, report)
        days = [] if machine.day is None else machine.day.take(whole, machine.summary.latest)
        draft.summarise(machine, [whole, *days])
        if machine.day is not None and (days or machine.day.is_due()):
            draft.touched.days[machine.id] = machine.day

    def close(self, draft: Draft, machine: Machine) -> None:
        """Tell of the interval that a stop cuts short, and keep the day."""
        report = machine.summary.close(machine.newest_ns) if machine.newest_ns else None
        if report is not None:
            self.add(draft, machine, report)
        if machine.day is not None:
            draft.touched.days[machine.id] = machine.day

    def _whole(self, machine: Machine, report: SummaryReport) -> SummaryReport:
        lines = self._lines(machine)
        alarms = self._load.report(machine.alarms.standing, machine.id)
        yardstick = machine.yardstick
        return msgspec.structs.replace(
            report,
            lines=lines,
            alarms=alarms,
            states=yardstick.hours_by_state(),
            false_alarms=yardstick.false_alarms.report(),
        )

    def _lines(self, machine: Machine) -> dict[str, dict[str, int]]:
        """What its devices' lines went through since the summary before."""
        counted = {
            device: {name: self._decoders[device].counters[name] for name in LINE_COUNTERS}
            for device in machine.devices
        }
        before, machine.lines = machine.lines, counted
        return {
            device: {name: count - before.get(device, {}).get(name, 0) for name, count in counts.items()}
            for device, counts in counted.items()
        }
