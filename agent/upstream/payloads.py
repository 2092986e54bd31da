"""What messages say: an envelope that every one carries, with the body's fields beside it, as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np

from agent.types import NANOSECONDS, Kind, Message, Retained

ONLINE = b"online"
STOPPED = b"stopped"  # the agent said goodbye
OFFLINE = b"offline"  # it did not: the broker says so, by the will

ALARM = "stethos.alarm/1"
ALARMS = "stethos.alarms/1"
SUMMARY = "stethos.summary/1"
HEALTH = "stethos.health/1"
DEVICE_HEALTH = "stethos.device-health/1"
GAP = "stethos.gap/1"
RESPONSE = "stethos.response/1"
SECURITY = "stethos.security/1"


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who says it, and when.

    `key` is the same for every repeat of one message; `boot_id` and `seq` order the messages of one run of the agent;
    `time_ns` is event time, nanoseconds since the Unix epoch, and `time_quality` says where it comes from.
    """

    schema: str
    key: str
    boot_id: str
    seq: int
    time_ns: int
    time_quality: str


def message(kind: Kind, topic: str, envelope: Envelope, body: Any, expiry_s: int | None = None) -> Message:
    """An event (alarm, summary, gap) for the outbox; `expiry_s` is how long the broker keeps it for an absent consumer."""
    return Message(envelope.key, kind, topic, encode(envelope, body), envelope.time_ns, expiry_s)


def state(topic: str, envelope: Envelope, body: Any) -> Retained:
    """The value of a retained topic (health, a device's health)."""
    return Retained(topic, encode(envelope, body))


def encode(envelope: Envelope, body: Any) -> bytes:
    """One JSON object of the envelope's fields and those of `body` (a dict, a msgspec struct or a dataclass).

    NaN and infinities, which JSON does not know, become null. Raises ValueError where `body` has a field of the
    envelope's, or is no object.
    """
    fields = msgspec.to_builtins(body, enc_hook=_plain)
    if not isinstance(fields, dict):
        raise ValueError(f"a body must be an object with named fields, not {type(body).__name__}")  # noqa: TRY004 - a value, seen after conversion
    head = {
        "schema": envelope.schema,
        "key": envelope.key,
        "boot_id": envelope.boot_id,
        "seq": envelope.seq,
        "time": rfc3339(envelope.time_ns),
        "time_ns": envelope.time_ns,
        "time_quality": envelope.time_quality,
    }
    if clash := head.keys() & fields.keys():
        raise ValueError(f"the body names {sorted(clash)}, which are the envelope's")
    return msgspec.json.encode(head | fields)


def rfc3339(time_ns: int) -> str:
    """`1700000000000000001` as `2023-11-14T22:13:20.000000001Z`; raises ValueError outside of the years 1 to 9999."""
    seconds, fraction_ns = divmod(time_ns, NANOSECONDS)
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError, ValueError) as error:
        raise ValueError(f"{time_ns} ns is no time of the years 1 to 9999") from error
    return f"{moment.replace(tzinfo=None).isoformat()}.{fraction_ns:09d}Z"


def _plain(value: Any) -> Any:
    """NumPy's scalars and arrays as Python's."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise NotImplementedError(f"{type(value).__name__} has no form in JSON")
