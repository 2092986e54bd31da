"""A Sparkplug B edge node: its birth certificates first, then data by alias, and the will that a broker holds for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.decode.schema import Profile, SparkplugRecord
from agent.decode.sparkplug_payload import BOOLEAN, DOUBLE, STRING, UINT64, Metric, Payload, write
from agent.decode.sparkplug_session import BD_SEQ, NAMESPACE
from agent.types import NANOSECONDS

Published = tuple[str, bytes]  # a topic and its payload


class SparkplugEncoder:
    """One edge node, whose `topic` is GROUP/NODE; `bd_seq` numbers its sessions, and wraps at 256."""

    def __init__(self, profile: Profile, layout: SparkplugRecord, bd_seq: int = 0) -> None:
        self._fields = layout.fields
        self._aliases = {name: alias for alias, name in enumerate(layout.fields, start=1)}
        self._units = {channel.source_field: channel.unit for channel in profile.channel}
        self._bd_seq = bd_seq % 256
        self._seq = -1
        self._born = False

    def messages(self, fields: Mapping[str, Any], t_ns: int, topic: str) -> list[Published]:
        """The first sample as births of the node and its devices, each later one as data, both for those that have a reading."""
        t_ms = t_ns * 1_000 // NANOSECONDS
        by_device: dict[str, list[Metric]] = {}
        if not self._born:
            by_device[""] = [Metric(name=BD_SEQ, timestamp_ms=t_ms, datatype=UINT64, value=self._bd_seq)]
        for name, raw in fields.items():
            if not self._born or raw is not None:
                by_device.setdefault(self._fields[name].device, []).append(self._metric(name, raw, t_ms))
        kind = "DATA" if self._born else "BIRTH"
        self._born = True
        return [self._message(kind, device, metrics, t_ms, topic) for device, metrics in by_device.items()]

    def will(self, topic: str) -> Published:
        """The death certificate that the broker publishes when the node is gone; it has no sequence number."""
        metric = Metric(name=BD_SEQ, datatype=UINT64, value=self._bd_seq)
        return _topic(topic, "NDEATH", ""), write(Payload(metrics=[metric]))

    def _metric(self, name: str, raw: Any, t_ms: int) -> Metric:
        metric = Metric(alias=self._aliases[name], timestamp_ms=t_ms, is_null=raw is None, value=_wire(raw))
        if not self._born:
            metric.name = self._fields[name].metric
            metric.datatype = {bool: BOOLEAN, str: STRING}.get(type(raw), DOUBLE)
            metric.properties = {"engUnit": self._units[name]}
        return metric

    def _message(self, kind: str, device: str, metrics: list[Metric], t_ms: int, topic: str) -> Published:
        self._seq = (self._seq + 1) % 256
        level = f"{'D' if device else 'N'}{kind}"
        return _topic(topic, level, device), write(Payload(t_ms, self._seq, metrics))


def _wire(raw: Any) -> float | bool | str | None:
    return raw if raw is None or isinstance(raw, bool | str) else float(raw)


def _topic(topic: str, kind: str, device: str) -> str:
    group, _, node = topic.partition("/")
    return "/".join([NAMESPACE, group, kind, node, *([device] if device else [])])
