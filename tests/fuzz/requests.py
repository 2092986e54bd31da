"""Requests as anybody may publish them: nothing is raised, each that is taken has one answer, and nothing changes that no signature allows."""

from __future__ import annotations

import json

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.clock import FakeClock
from agent.commands.access import sign
from agent.commands.catalogue import COMMANDS
from agent.commands.over_mqtt import MqttRequests
from tests.harness.commands import Desk

_PREFIX = "stethos/line-3"
_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
_NAMES = [*sorted(COMMANDS), "no.such"]
_WHO = {"by": "Meier", "comment": "known"}
_SIGNED, _ELSEWHERE = 64, 128
_SHELVE = _NAMES.index("alarms.shelve")


def take(data: bytes) -> None:
    """The first byte chooses the command, whether keys are set, and whether the second to tenth say where the answer goes."""
    choice, rest = data[:1].ljust(1)[0], data[1:]
    signed = bool(choice & _SIGNED)
    response_topic = rest[:9].decode(errors="replace") if choice & _ELSEWHERE else None
    payload = rest[9:] if choice & _ELSEWHERE else rest
    desk, said = Desk(["*"], [_KEY.public_key()] if signed else []), list[str]()
    requests = MqttRequests(_PREFIX, desk.dispatcher, lambda topic, *_: said.append(topic), FakeClock())
    topic = f"{_PREFIX}/request/{_NAMES[choice % len(_NAMES)]}"
    requests.take(topic, payload, retained=False, response_topic=response_topic, correlation=payload[:300])
    desk.work()
    assert len(said) == len(desk.commits) == requests.counters["taken"]
    assert not any(sign in answered_on for answered_on in said for sign in "+#\0")
    changed = any(commit.journal for commit in desk.commits)
    assert not (changed and signed), "nobody here has the key, and what one seed bears was signed for another agent"


SEEDS = (
    bytes([_NAMES.index("alarms.list")]) + b"",
    bytes([_SHELVE]) + json.dumps({"machine": "pump", "for": "8h", "transaction": 1, **_WHO}).encode(),
    bytes([_NAMES.index("alarms.remove") | _ELSEWHERE])
    + b"my/answer"
    + json.dumps({"machine": "fan", **_WHO}).encode(),
    bytes([_SHELVE | _SIGNED])
    + sign(
        "line-4", "alarms.shelve", {"machine": "pump", "for": "8h", **_WHO}, key=_KEY, time_ns=0, nonce="nonce-0001"
    ),
)
