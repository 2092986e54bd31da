"""Sparkplug B 3.0 messages to numbers: the metrics that an edge node's births name, with their times and quality."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Sequence

from agent.decode.envelope import Rejected
from agent.decode.records import MAX_NS, Arrivals, Records
from agent.decode.schema import Profile, SparkplugRecord
from agent.decode.sparkplug_payload import Metric, Payload, read, signed
from agent.decode.sparkplug_rebirth import Rebirths
from agent.decode.sparkplug_session import Address, Sessions, Standing, split
from agent.decode.sparse import SparseRows
from agent.decode.states import cell_reader
from agent.errors import DecodeError
from agent.metrics import Counters
from agent.types import NANOSECONDS, Command, Quality

# Section 6.4.8: 0 bad, 192 good, 500 stale; without the property a value is good.
_QUALITY, _BAD, _GOOD = "Quality", 0, 192
_ENGINEERING_UNIT = "engUnit"
_MS = 1_000_000


class SparkplugFormat:
    """Reads the messages of one edge node, as the topic filter `spBv1.0/GROUP/+/NODE/#` delivers them.

    counters: those of Sessions; unborn and repeated_messages (messages that give nothing); historical (values older than what
    was read before, left out), unit_errors (births that state another engineering unit than the channel's; the values are
    kept, since that property is free text). A lost message, by the node's sequence number, counts as a lost sample.
    `commands` receives what would end a node's being unborn; whether it is sent is not decided here.
    """

    def __init__(self, profile: Profile, layout: SparkplugRecord, counters: Counters, commands: deque[Command]) -> None:
        self._counters = counters
        self._commands = commands
        self._rebirths = Rebirths()
        self._max_step_ns = round(profile.time.max_step_s * NANOSECONDS)
        self._timed = profile.time.kind == "device"
        self._readers = [cell_reader(channel) for channel in profile.channel]
        self._units = [channel.unit for channel in profile.channel]
        self._columns: defaultdict[str, dict[str, list[int]]] = defaultdict(dict)  # by device and metric
        for column, channel in enumerate(profile.channel):
            wanted = layout.fields[channel.source_field]
            self._columns[wanted.device].setdefault(wanted.metric, []).append(column)
        self._sessions = Sessions(self._columns, counters)
        self._newest_ns = -MAX_NS

    def read(self, records: Sequence[bytes], arrivals: Arrivals, /) -> tuple[Records, Rejected]:
        """A message that gives no value is rejected by what it is to its session."""
        rows, rejected, by_arrival = SparseRows(len(self._readers)), Rejected(), False
        for index, record in enumerate(records):
            reason = str(Standing.SKIPPED)
            try:
                address, payload = split(arrivals.topic(index)), read(record)
                standing = self._sessions.judge(address, payload)
            except DecodeError:
                rejected[index] = "decode_errors"
                continue
            if standing is Standing.BIRTH:
                self._check_units(address, payload)
            if standing is Standing.UNBORN and (command := self._rebirths.ask(address.node, arrivals.time_ns(index))):
                self._commands.append(command)
            if standing in (Standing.BIRTH, Standing.DATA):
                by_arrival |= self._take(address, payload, rows, index, arrivals.time_ns(index))
            else:
                reason = str(standing)
            if not rows.holds(index):
                rejected[index] = reason
        lost = 0
        if len(rejected) < len(records):
            lost, self._sessions.lost = self._sessions.lost, 0
        return rows.table(timed=self._timed, by_arrival=by_arrival, lost=lost), rejected

    def _take(self, address: Address, payload: Payload, rows: SparseRows, record: int, arrived_ns: int) -> bool:
        """Put the wanted values of a message; True where one was stamped by its arrival alone."""
        columns, by_arrival = self._columns[address.device], False
        for metric in payload.metrics:
            name = self._sessions.name(address, metric)
            if name is None or name not in columns:
                continue
            stamp_ns = _stamp_ns(metric, payload)
            time_ns = arrived_ns if stamp_ns is None else stamp_ns
            if metric.is_historical and time_ns <= self._newest_ns:
                self._counters.add("historical")
                continue
            # A clock that errs into the far future must not make all that comes after it history.
            if time_ns <= arrived_ns + self._max_step_ns:
                self._newest_ns = max(self._newest_ns, time_ns)
            cell = None if metric.is_null else signed(metric.value, self._sessions.datatype(address, name, metric))
            flags = _flags(metric)
            for column in columns[name]:
                value = math.nan if flags & Quality.MISSING else self._readers[column](cell)
                if flags or not math.isnan(value):
                    rows.put(record, time_ns if self._timed else 0, column, value, flags)
                    by_arrival |= stamp_ns is None
        return by_arrival

    def _check_units(self, address: Address, payload: Payload) -> None:
        for metric in payload.metrics:
            unit = metric.properties.get(_ENGINEERING_UNIT)
            for column in self._columns[address.device].get(metric.name or "", ()):
                if unit is not None and unit != self._units[column]:
                    self._counters.add("unit_errors")


def _stamp_ns(metric: Metric, payload: Payload) -> int | None:
    """The metric's time, or else its message's; None where neither has one that can be."""
    stamp_ms = payload.timestamp_ms if metric.timestamp_ms is None else metric.timestamp_ms
    return None if stamp_ms is None or stamp_ms * _MS >= MAX_NS else stamp_ms * _MS


def _flags(metric: Metric) -> int:
    """The Quality property: a bad value is no value; bad and stale ones are the device's own complaint."""
    quality = metric.properties.get(_QUALITY, _GOOD)
    if quality == _GOOD:
        return 0
    return int(Quality.STALE | Quality.MISSING if quality == _BAD else Quality.STALE)
