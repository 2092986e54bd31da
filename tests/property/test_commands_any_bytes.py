"""Whatever anybody publishes as a request, or writes to the socket, is answered or passed over, and changes nothing unasked."""

from __future__ import annotations

import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from agent.clock import FakeClock
from agent.commands.catalogue import COMMANDS
from agent.commands.over_mqtt import MqttRequests
from agent.control.server import _named
from tests.harness.commands import Desk

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)
NAMES = st.sampled_from(["alarm", "machine", "point", "by", "comment", "for", "until", "limit", "after", "before"])
ANYTHING = st.dictionaries(
    NAMES | st.sampled_from(["transaction", "payload", "signature"]),
    JSON | st.sampled_from(["pump", "model", "8h", "Meier", "2026-01-01T00:00:00Z", "AAAA"]),
)
PAYLOADS = st.binary(max_size=200) | ANYTHING.map(lambda fields: json.dumps(fields).encode())
COMMAND_NAMES = st.sampled_from(sorted(COMMANDS)) | st.text(max_size=80)


@given(COMMAND_NAMES, PAYLOADS, st.sampled_from([None, "root"]), st.booleans())
def test_any_payload_of_any_command_has_one_answer(name: str, payload: bytes, peer: str | None, signed: bool) -> None:
    desk = Desk(["*"], [KEY.public_key()] if signed else [])
    answer = desk.ask(name, payload, peer)
    assert answer["status"] in {"ok", "error"}
    changed = any(commit.journal for commit in desk.commits)
    assert changed == bool(desk.plant.alarms["pump"].hidden or desk.plant.alarms["fan"].hidden)
    assert not (changed and signed and peer is None), "nobody here has the key"


@given(st.dictionaries(st.sampled_from(["payload", "signature", "transaction"]), st.text(max_size=40) | JSON))
def test_any_envelope_without_the_key_is_refused(fields: dict[str, Any]) -> None:
    desk = Desk(["*"], [KEY.public_key()])
    assert desk.ask("alarms.remove", fields)["status"] == "error"


@given(
    st.text(max_size=60).map(lambda end: f"stethos/line-3/request/{end}") | st.text(max_size=60),
    PAYLOADS,
    st.booleans(),
    st.none() | st.text(max_size=300) | st.sampled_from(["a/b", "stethos/line-3/availability", "$SYS/x", "a/#"]),
    st.none() | st.binary(max_size=400),
)
def test_any_message_is_counted_and_never_answered_where_it_could_do_harm(
    topic: str, payload: bytes, retained: bool, response_topic: str | None, correlation: bytes | None
) -> None:
    desk, said = Desk(), list[tuple[str, bytes | None]]()
    requests = MqttRequests(
        "stethos/line-3", desk.dispatcher, lambda topic, _, correlation: said.append((topic, correlation)), FakeClock()
    )
    requests.take(topic, payload, retained=retained, response_topic=response_topic, correlation=correlation)
    desk.work()
    outcomes = ("taken", "retained", "over_rate", "misdirected")
    assert sum(requests.counters[outcome] for outcome in outcomes) == requests.counters["received"] == 1
    assert len(said) == requests.counters["taken"]
    for answered_on, _ in said:
        assert not any(sign in answered_on for sign in "+#\0")
        assert answered_on
        own = answered_on.startswith("stethos/line-3/")
        assert answered_on.startswith("stethos/line-3/response/") or not own


def test_requests_beyond_the_rate_are_counted_and_not_answered() -> None:
    desk, said = Desk(), list[bytes]()
    clock = FakeClock()
    requests = MqttRequests("stethos/line-3", desk.dispatcher, lambda _, data, __: said.append(data), clock)

    def publish(times: int) -> None:
        for _ in range(times):
            requests.take(
                "stethos/line-3/request/alarms.list", b"", retained=False, response_topic=None, correlation=None
            )
            desk.work()

    publish(50)
    assert (len(said), requests.counters["over_rate"]) == (20, 30)
    clock.advance(10**9)
    publish(50)
    assert len(said) == 25


@given(PAYLOADS | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_line_is_a_request_of_some_name(line: bytes) -> None:
    name, payload = _named(line)
    assert isinstance(name, str)
    assert isinstance(payload, bytes)
