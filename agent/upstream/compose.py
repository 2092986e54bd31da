"""What the agent decided, put into messages: which topic, which envelope, which body, for how long."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

import msgspec

from agent.commands.request import Response
from agent.decide.alarm import AlarmEvent, AlarmState
from agent.decide.machine_alarms import Hidden
from agent.decide.summary import SummaryReport
from agent.outbox.policy import Gap
from agent.types import Kind, Message, Retained, TimeQuality
from agent.upstream import payloads
from agent.upstream.documents import (
    AlarmsDocument,
    BundleReference,
    ResponseDocument,
    SecurityDocument,
    alarm_document,
    told,
)
from agent.upstream.payloads import Envelope
from agent.upstream.topics import Topics

# A consumer that was away for longer reads its history elsewhere; the broker need not keep summaries for ever.
SUMMARY_EXPIRY_S = 7 * 86_400


class Composer:
    """One run's messages, numbered in the order of their making. `bundles` says of each machine which model judged."""

    def __init__(self, topics: Topics, boot_id: str, bundles: Mapping[str, BundleReference]) -> None:
        self._topics = topics
        self._boot_id = boot_id
        self._bundles = dict(bundles)
        self._seq = count()  # next() on it is atomic: pipeline, outbox and main thread all number their messages here

    def judged_by(self, machine: str, bundle: BundleReference) -> None:
        """Another bundle watches `machine` from now on."""
        self._bundles[machine] = bundle

    def alarm(self, event: AlarmEvent, time_quality: TimeQuality) -> Message:
        """An alarm event; its key is the event's own, the same in every run that sees the same bytes."""
        machine = event.after.machine
        body = alarm_document(self._topics.agent, event, self._bundles[machine])
        envelope = self._envelope(payloads.ALARM, event.key, event.after.updated_ns, time_quality)
        return payloads.message(Kind.ALARM, self._topics.alarm(machine), envelope, body)

    def alarm_alone(self, alarm: AlarmState) -> bytes:
        """An alarm at one moment, as a response passes it on: what is in `after` of its event."""
        return msgspec.json.encode(told(alarm))

    def summary(self, report: SummaryReport, time_quality: TimeQuality) -> Message:
        """A summary of an interval or a day; its key names machine and time."""
        of_day = report.period == "day"
        key = f"{report.machine}/{'day' if of_day else 'summary'}/{report.start_ns}-{report.end_ns}"
        envelope = self._envelope(payloads.SUMMARY, key, report.end_ns, time_quality)
        topic = self._topics.day(report.machine) if of_day else self._topics.summary(report.machine)
        return payloads.message(Kind.SUMMARY, topic, envelope, report, SUMMARY_EXPIRY_S)

    def standing(
        self,
        machine: str,
        alarms: Sequence[AlarmState],
        hidden: Sequence[Hidden],
        time_ns: int,
        time_quality: TimeQuality,
    ) -> Retained:
        """The alarms of `machine` that stand, first out first, and its points that are hidden."""
        envelope = self._envelope(payloads.ALARMS, None, time_ns, time_quality)
        body = AlarmsDocument(alarms=[told(alarm) for alarm in alarms], hidden=list(hidden))
        return payloads.state(self._topics.alarms(machine), envelope, body)

    def gap(self, gap: Gap, now_ns: int) -> Message:
        """What was lost because the outbox was full."""
        envelope = self._envelope(payloads.GAP, gap.key, now_ns, TimeQuality.ARRIVAL)
        return payloads.message(Kind.GAP, self._topics.gap, envelope, gap)

    def security(self, body: SecurityDocument, now_ns: int) -> Message:
        """A model, or a root of trust, was taken, refused or exchanged."""
        envelope = self._envelope(payloads.SECURITY, None, now_ns, TimeQuality.ARRIVAL)
        return payloads.message(Kind.SECURITY, self._topics.security, envelope, body)

    def response(self, command: str, body: Response, now_ns: int) -> bytes:
        """The answer to a request, whichever way it goes."""
        envelope = self._envelope(payloads.RESPONSE, None, now_ns, TimeQuality.ARRIVAL)
        return payloads.encode(envelope, ResponseDocument(command=command[:64], **msgspec.structs.asdict(body)))

    def health(self, body: Any, now_ns: int) -> Retained:
        """The agent's own health."""
        return self._state(self._topics.health, payloads.HEALTH, body, now_ns)

    def device_health(self, device: str, body: Any, now_ns: int) -> Retained:
        """A device's health."""
        return self._state(self._topics.device_health(device), payloads.DEVICE_HEALTH, body, now_ns)

    def _state(self, topic: str, schema: str, body: Any, now_ns: int) -> Retained:
        return payloads.state(topic, self._envelope(schema, None, now_ns, TimeQuality.ARRIVAL), body)

    def _envelope(self, schema: str, key: str | None, time_ns: int, time_quality: TimeQuality) -> Envelope:
        """A state has no key of its own: the newest replaces the others, so its number in this run will do."""
        seq = next(self._seq)
        return Envelope(schema, key or f"{self._boot_id}-{seq}", self._boot_id, seq, time_ns, time_quality)
