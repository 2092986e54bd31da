"""The sessions of Sparkplug B edge nodes: births, deaths and sequence numbers, and the names behind the aliases."""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from agent.decode.sparkplug_payload import Metric, Payload
from agent.errors import DecodeError
from agent.metrics import Counters

NAMESPACE = "spBv1.0"
BD_SEQ = "bdSeq"
_OF_NODE = ("NBIRTH", "NDATA", "NDEATH", "NCMD")
_OF_DEVICE = ("DBIRTH", "DDATA", "DDEATH", "DCMD")
# A device of the agent is one edge node; a topic filter for more of them costs no memory without bound.
_MAX_NODES = 64


class Standing(enum.StrEnum):
    """What a message is to its session; those without metrics to take are named as the decoder counts them."""

    BIRTH = "birth"
    DATA = "data"
    SKIPPED = "skipped"  # a death, a command, a device that nobody asks for
    UNBORN = "unborn"  # before the birth that names its metrics
    REPEATED = "repeated_messages"


@dataclass(frozen=True, slots=True)
class Address:
    """What a topic says; the device is empty for messages of the node itself."""

    kind: str
    node: tuple[str, str]
    device: str


@dataclass(slots=True)
class _Session:
    """What the birth certificates of an edge node said since its latest own one.

    Only wanted metrics are remembered, so that a certificate of any length leaves at most one entry a channel.
    """

    seq: int | None
    bd_seq: int | None
    born: set[str] = field(default_factory=set)
    names: dict[tuple[str, int], str] = field(default_factory=dict)  # by device and alias
    datatypes: dict[tuple[str, str], int] = field(default_factory=dict)  # by device and metric

    def forget(self, device: str) -> None:
        """The device died, or is born anew."""
        self.born.discard(device)
        self.names = {key: name for key, name in self.names.items() if key[0] != device}


class Sessions:
    """Follows every message of the nodes that a topic filter delivers; `wanted` names the metrics of each device.

    counters: births, deaths, stale_deaths (the wills of sessions that a newer birth has replaced).
    """

    def __init__(self, wanted: Mapping[str, Collection[str]], counters: Counters) -> None:
        self._wanted = wanted
        self._counters = counters
        self._sessions: dict[tuple[str, str], _Session] = {}
        self.lost = 0  # messages that never came, since somebody last set this to zero

    def judge(self, address: Address, payload: Payload) -> Standing:
        """Take a message in the order of its arrival."""
        if address.kind in ("NCMD", "DCMD"):
            return Standing.SKIPPED
        if address.kind == "NDEATH":
            self._end(address.node, payload)
            return Standing.SKIPPED
        if address.kind == "NBIRTH":
            self._begin(address.node, payload)
        session = self._sessions.get(address.node)
        if session is None:
            return Standing.UNBORN
        if address.kind != "NBIRTH" and not self._follows(session, payload.seq):
            return Standing.REPEATED
        return self._of_session(session, address, payload)

    def name(self, address: Address, metric: Metric) -> str | None:
        """The name of a metric that may have an alias alone; None where no birth gave it one that is wanted."""
        if metric.name is not None or metric.alias is None:
            return metric.name
        session = self._sessions.get(address.node)
        return None if session is None else session.names.get((address.device, metric.alias))

    def datatype(self, address: Address, name: str, metric: Metric) -> int | None:
        """The data type that the metric, or else its birth, states."""
        session = self._sessions.get(address.node)
        if metric.datatype is not None or session is None:
            return metric.datatype
        return session.datatypes.get((address.device, name))

    def _of_session(self, session: _Session, address: Address, payload: Payload) -> Standing:
        wanted = self._wanted.get(address.device)
        if address.kind == "DDEATH":
            self._counters.add("deaths")
            session.forget(address.device)
            return Standing.SKIPPED
        if address.kind in ("NBIRTH", "DBIRTH"):
            self._counters.add("births")
            _learn(session, address.device, payload, wanted or ())
            return Standing.SKIPPED if wanted is None else Standing.BIRTH
        if wanted is None:
            return Standing.SKIPPED
        return Standing.DATA if address.device in session.born else Standing.UNBORN

    def _begin(self, node: tuple[str, str], payload: Payload) -> None:
        """A node's birth begins its sequence anew, and all of its devices must be born again."""
        self._sessions.pop(node, None)
        if len(self._sessions) >= _MAX_NODES:
            del self._sessions[next(iter(self._sessions))]
        self._sessions[node] = _Session(payload.seq, _bd_seq(payload))

    def _end(self, node: tuple[str, str], payload: Payload) -> None:
        """A will names the session that it ends: it may come after the birth of the next one."""
        session = self._sessions.get(node)
        if session is None or session.bd_seq != _bd_seq(payload):
            self._counters.add("stale_deaths")
            return
        self._counters.add("deaths")
        del self._sessions[node]

    def _follows(self, session: _Session, seq: int | None) -> bool:
        """Count what was lost since the node's last message; False for that message once more."""
        if seq is None:
            return True
        step = 1 if session.seq is None else (seq - session.seq) % 256
        session.seq = seq % 256
        self.lost += max(0, step - 1)
        return step != 0


def split(topic: str) -> Address:
    """`spBv1.0/GROUP/KIND/NODE[/DEVICE]`; raises DecodeError for any other topic."""
    levels = topic.split("/")
    if len(levels) not in (4, 5) or levels[0] != NAMESPACE:
        raise DecodeError(f"'{topic}' is no topic of {NAMESPACE}")
    if levels[2] not in (_OF_DEVICE if len(levels) == 5 else _OF_NODE):
        raise DecodeError(f"'{topic}' is of no known message type")
    return Address(levels[2], (levels[1], levels[3]), levels[4] if len(levels) == 5 else "")


def _learn(session: _Session, device: str, payload: Payload, wanted: Collection[str]) -> None:
    session.forget(device)
    if wanted:
        session.born.add(device)
    for metric in payload.metrics:
        if metric.name not in wanted or metric.name is None:
            continue
        if metric.alias is not None:
            session.names[device, metric.alias] = metric.name
        if metric.datatype is not None:
            session.datatypes[device, metric.name] = metric.datatype


def _bd_seq(payload: Payload) -> int | None:
    value = next((metric.value for metric in payload.metrics if metric.name == BD_SEQ), None)
    return value if isinstance(value, int) else None
