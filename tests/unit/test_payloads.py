"""Payloads carry the envelope, the body's fields beside it, and nothing that is not JSON."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import datetime

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.types import Kind
from agent.upstream.payloads import ALARM, Envelope, encode, message, rfc3339

ENVELOPE = Envelope(ALARM, "k/1", "boot", 4, 1_700_000_000_000_000_001, "device")


def test_the_envelope_stands_beside_the_bodys_fields() -> None:
    assert json.loads(encode(ENVELOPE, {"machine": "pump-1", "zero": 0})) == {
        "schema": "stethos.alarm/1",
        "key": "k/1",
        "boot_id": "boot",
        "seq": 4,
        "time": "2023-11-14T22:13:20.000000001Z",
        "time_ns": 1_700_000_000_000_000_001,
        "time_quality": "device",
        "machine": "pump-1",
        "zero": 0,
    }


class Struct(msgspec.Struct):
    score: float


@dataclass
class Plain:
    score: float


@pytest.mark.parametrize("body", [{"score": 1.5}, Struct(1.5), Plain(1.5), {"score": np.float32(1.5)}])
def test_a_body_may_be_a_dict_a_struct_or_a_dataclass(body: object) -> None:
    assert json.loads(encode(ENVELOPE, body))["score"] == 1.5


def test_what_json_cannot_say_becomes_null_at_any_depth() -> None:
    body = {"a": math.nan, "b": [math.inf, {"c": -math.inf}], "d": np.array([np.nan, 1.0], np.float32)}
    decoded = json.loads(encode(ENVELOPE, body))
    assert (decoded["a"], decoded["b"], decoded["d"]) == (None, [None, {"c": None}], [None, 1.0])


@pytest.mark.parametrize("body", [{"key": "mine"}, [1, 2], "text"])
def test_a_body_cannot_replace_the_envelope_or_be_no_object(body: object) -> None:
    with pytest.raises(ValueError, match=r"envelope|object"):
        encode(ENVELOPE, body)


def test_a_message_is_keyed_and_dated_as_its_envelope_says() -> None:
    made = message(Kind.SUMMARY, "t", ENVELOPE, {}, expiry_s=60)
    assert (made.key, made.kind, made.topic, made.created_ns, made.expiry_s) == (
        "k/1",
        Kind.SUMMARY,
        "t",
        ENVELOPE.time_ns,
        60,
    )


@given(st.integers(-62_135_596_800 * 10**9, 253_402_300_800 * 10**9 - 1))
def test_rfc3339_names_the_nanosecond(time_ns: int) -> None:
    text = rfc3339(time_ns)
    assert len(text) == 30
    moment = datetime.fromisoformat(text[:19] + "+00:00")
    seconds = round((moment - datetime.fromisoformat("1970-01-01T00:00:00+00:00")).total_seconds())
    assert seconds * 10**9 + int(text[20:29]) == time_ns


def test_a_time_beyond_the_calendar_is_refused() -> None:
    with pytest.raises(ValueError, match="no time"):
        rfc3339(10**22)
