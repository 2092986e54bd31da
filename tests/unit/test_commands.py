"""Commands: what is asked is done once, by whom it says, answered once it is on disk; what may not be is refused with a reason."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.commands.access import MOST_NONCES, WINDOW_NS, sign
from agent.commands.dispatcher import MAX_WAITING, NONCES_STATE, PATIENCE_NS, Asked
from agent.commands.rate import Bucket
from agent.commands.request import MAX_BYTES
from agent.decide.explanation import unexplained
from agent.decide.lasting import Likelihood
from agent.decide.machine_alarms import MachineAlarms
from agent.types import NANOSECONDS
from tests.harness.commands import Desk
from tests.harness.streams import verdict

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(32))
WHO = {"by": "Meier", "comment": "known since Monday"}
SHELVE = {"machine": "pump", "for": "8h", **WHO}


def raised_and_cleared(alarms: MachineAlarms, at_s: int) -> str:
    """The id of an alarm of the model."""
    for second, rate in ((at_s, 0.0), (at_s + 1, 1e9)):
        alarms.judge(verdict(second * NANOSECONDS, 1.0), Likelihood(rate, 0.0), unexplained)
    return alarms.past.alarms[-1].id


def signed(desk: Desk, fields: dict[str, Any], nonce: str = "nonce-0001", **changes: Any) -> bytes:
    head = {"agent": "line-3", "name": "alarms.shelve", "key": KEY, "time_ns": desk.clock.now_ns()} | changes
    return sign(head.pop("agent"), head.pop("name"), fields, nonce=nonce, **head)


def test_an_act_changes_state_is_journaled_and_only_then_answered() -> None:
    desk = Desk(["alarms.*"])
    desk.dispatcher.submit(Asked("alarms.shelve", json.dumps({**SHELVE, "transaction": 5}).encode(), None, desk.hear))
    commit = desk.dispatcher.serve()
    assert commit is not None
    assert desk.answers == []
    command, transition = (json.loads(each) for each in commit.journal)
    assert (command["kind"], command["command"], command["by"], command["over"]) == (
        "command",
        "alarms.shelve",
        "Meier",
        "mqtt",
    )
    assert (transition["kind"], transition["action"], transition["comment"]) == (
        "transition",
        "shelve",
        "known since Monday",
    )
    assert transition["until_ns"] == desk.clock.now_ns() + 8 * 3_600 * NANOSECONDS
    assert "alarm/pump" in commit.state
    commit.answers[0]()
    assert (desk.answers[0]["status"], desk.answers[0]["transaction"]) == ("ok", 5)
    assert desk.answers[0]["data"]["state"] == "shelved"


def test_the_kernels_name_for_a_local_user_stands_beside_the_one_that_is_claimed() -> None:
    desk = Desk()
    desk.ask("alarms.shelve", SHELVE, peer="service")
    desk.ask("alarms.unshelve", {"machine": "pump", "comment": "over"}, peer="service")
    acts = [json.loads(each)["by"] for commit in desk.commits for each in commit.journal]
    assert acts == ["Meier (service)", "Meier (service)", "service", "service"]


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"machine": "pump", "comment": "x", "for": "8h"}, "by"),
        ({"machine": "pump", "by": "Meier", "for": "8h"}, "comment"),
        ({**SHELVE, "by": " "}, "by"),
        ({**SHELVE, "comment": "two\nlines"}, "comment"),
        ({**SHELVE, "comment": "ends with one\n"}, "comment"),
        ({**SHELVE, "comment": "x" * 501}, "comment"),
        ({**SHELVE, "surprise": 1}, "surprise"),
        ({**SHELVE, "until": "2026-01-01T00:00:00Z"}, "exactly one of until and for"),
        ({"machine": "pump", **WHO}, "exactly one of until and for"),
        ({"machine": "pump", "until": "2026-01-01T00:00:00", **WHO}, "zone"),
        ({"machine": "pump", "until": "tomorrow", **WHO}, "until"),
        ({"machine": "pump", "for": "8 hours", **WHO}, "no duration"),
        ({"machine": "pump", "for": "8d", **WHO}, "seven days"),
        ({"machine": "pump", "for": "0s", **WHO}, "seven days"),
        ({"machine": "mill", "for": "8h", **WHO}, "no machine 'mill'"),
        ({"machine": "pump", "point": "flow.low", "for": "8h", **WHO}, "no alarm point 'flow.low'"),
        ({"alarm": "pump-20260101T000000.000000000Z", "for": "8h", **WHO}, "stands"),
        ({"alarm": "a", "machine": "pump", "for": "8h", **WHO}, "exactly one"),
        ({"for": "8h", **WHO}, "exactly one"),
    ],
)
def test_what_is_not_well_formed_is_refused_and_changes_nothing(fields: dict[str, Any], why: str) -> None:
    desk = Desk(["*"])
    answer = desk.ask("alarms.shelve", fields)
    assert answer["status"] == "error"
    assert why in answer["error"]
    assert desk.plant.alarms["pump"].hidden == []
    assert all(not commit.journal for commit in desk.commits)
    assert desk.dispatcher.counters["refused"] == 1


def test_an_alarm_that_is_over_is_judged_by_its_id_and_listed_with_what_was_said() -> None:
    desk = Desk(["alarms.*"])
    pump = desk.plant.alarms["pump"]
    first, second = (raised_and_cleared(pump, at_s) for at_s in (10, 30))
    assert desk.ask("alarms.ack", {"machine": "pump", **WHO})["status"] == "ok"
    judged = desk.ask("alarms.judge", {"alarm": first, "verdict": "true", **WHO})
    assert judged["data"] == {"machine": "pump", "point": "model", "state": "normal", "until_ns": None}
    command, transition = (json.loads(each) for each in desk.commits[-1].journal)
    assert (command["command"], command["by"]) == ("alarms.judge", "Meier")
    assert (transition["alarm"], transition["action"], transition["verdict"]) == (first, "judge", "true")
    listed = desk.ask("alarms.past", {})["data"]["alarms"]
    assert [(each["machine"], each["id"], each["verdict"]) for each in listed] == [("pump", first, "true")]
    assert second == first, "raised again before anybody acknowledged it: the same alarm"
    assert desk.ask("alarms.past", {"machine": "fan"})["data"] == {"alarms": []}


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"alarm": "pump-x", "verdict": "true"}, "stands or is remembered"),
        ({"machine": "pump", "verdict": "true"}, "no such alarm is remembered"),
        ({"machine": "pump", "alarm": "pump-x", "verdict": "true"}, "exactly one of the two"),
        ({"machine": "pump", "verdict": "perhaps"}, "verdict"),
        ({"machine": "pump"}, "verdict"),
    ],
)
def test_what_cannot_be_judged_is_refused_and_changes_nothing(fields: dict[str, Any], why: str) -> None:
    desk = Desk(["alarms.*"])
    answer = desk.ask("alarms.judge", {**fields, **WHO})
    assert answer["status"] == "error"
    assert why in answer["error"]
    assert all(commit.journal == () for commit in desk.commits)


def test_only_what_is_on_the_list_may_be_asked_for_over_the_network() -> None:
    desk = Desk(["alarms.list", "alarms.ack"])
    assert desk.ask("alarms.list", b"")["status"] == "ok"
    assert "may not be asked for" in desk.ask("alarms.shelve", SHELVE)["error"]
    assert "nothing to acknowledge" in desk.ask("alarms.ack", {"machine": "pump", **WHO})["error"]
    assert desk.ask("alarms.shelve", SHELVE, peer="root")["status"] == "ok"
    listed = {each["command"]: each["allowed"] for each in desk.ask("commands.list", b"", peer="root")["data"]}
    assert all(listed.values())


def test_history_is_answered_from_where_the_journal_lies() -> None:
    desk = Desk()
    assert desk.ask("alarms.history", {"limit": 7, "transaction": "t"})["transaction"] == "t"
    assert desk.history[0].limit == 7
    assert desk.ask("alarms.history", {"limit": 501})["status"] == "error"
    assert len(desk.history) == 1


def test_a_signed_request_is_taken_once_and_remembered_across_a_restart() -> None:
    desk = Desk(["*"], [KEY.public_key()])
    payload = signed(desk, {**SHELVE, "transaction": "one"})
    assert desk.ask("alarms.shelve", payload)["transaction"] == "one"
    assert "used before" in desk.ask("alarms.shelve", payload)["error"]
    again = Desk(["*"], [KEY.public_key()])
    again.dispatcher.restore(desk.commits[0].state)
    assert "used before" in again.ask("alarms.shelve", payload)["error"]
    assert json.loads(desk.commits[0].journal[0])["key"]


def test_a_nonce_is_spent_even_where_the_act_is_refused() -> None:
    desk = Desk(["*"], [KEY.public_key()])
    payload = signed(desk, {"machine": "pump", **WHO}, name="alarms.ack")
    assert "nothing to acknowledge" in desk.ask("alarms.ack", payload)["error"]
    assert NONCES_STATE in desk.commits[-1].state
    assert "used before" in desk.ask("alarms.ack", payload)["error"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"agent": "line-4"}, "another agent"),
        ({"name": "alarms.remove"}, "another agent or command"),
        ({"key": STRANGER}, "no key"),
        ({"nonce": "short"}, "nonce of 8"),
    ],
)
def test_a_signature_binds_agent_command_and_nonce(changes: dict[str, Any], why: str) -> None:
    desk = Desk(["*"], [KEY.public_key()])
    assert why in desk.ask("alarms.shelve", signed(desk, SHELVE, **changes))["error"]
    assert desk.plant.alarms["pump"].hidden == []


@pytest.mark.parametrize("offset_ns", [-WINDOW_NS - 1, WINDOW_NS + 1])
def test_a_signed_request_is_refused_outside_of_its_window(offset_ns: int) -> None:
    desk = Desk(["*"], [KEY.public_key()])
    payload = signed(desk, SHELVE, time_ns=desk.clock.now_ns() + offset_ns)
    assert "clock" in desk.ask("alarms.shelve", payload)["error"]


def test_an_altered_byte_of_a_signed_request_is_refused() -> None:
    desk = Desk(["*"], [KEY.public_key()])
    envelope = json.loads(signed(desk, SHELVE))
    inner = base64.b64decode(envelope["payload"]).replace(b"8h", b"9h")
    envelope["payload"] = base64.b64encode(inner).decode()
    assert "no key" in desk.ask("alarms.shelve", envelope)["error"]


def test_with_keys_acting_needs_a_signature_and_reading_does_not() -> None:
    desk = Desk(["*"], [KEY.public_key()])
    assert "must be signed" in desk.ask("alarms.shelve", SHELVE)["error"]
    assert desk.ask("alarms.list", b"")["status"] == "ok"


def test_nonces_are_bounded_and_none_is_forgotten_within_the_window() -> None:
    desk = Desk(["*"], [KEY.public_key()])
    now_ns = desk.clock.now_ns()
    for number in range(MOST_NONCES):
        desk.access.nonces.take(f"nonce-{number:06d}", now_ns, now_ns)
    assert "try later" in desk.ask("alarms.shelve", signed(desk, SHELVE))["error"]
    desk.clock.advance(2 * WINDOW_NS)
    assert desk.ask("alarms.shelve", signed(desk, SHELVE))["status"] == "ok"
    assert len(msgspec.json.decode(desk.access.nonces.snapshot())) == 1


def test_too_many_at_once_and_whatever_waited_too_long_are_turned_away() -> None:
    desk = Desk(["*"])
    for _ in range(MAX_WAITING + 3):
        desk.dispatcher.submit(Asked("alarms.shelve", json.dumps(SHELVE).encode(), None, desk.hear))
    assert [answer["error"] for answer in desk.answers] == ["the agent is busy or stopping: try again"] * 3
    assert desk.dispatcher.busy == 3
    desk.clock.advance(PATIENCE_NS + 1)
    desk.work()
    assert {answer["error"] for answer in desk.answers[3:]} == {"the agent was busy for too long: nothing was done"}
    assert desk.plant.alarms["pump"].hidden == []


def test_what_waits_at_a_stop_is_answered() -> None:
    desk = Desk(["*"])
    desk.dispatcher.submit(Asked("alarms.list", b"", None, desk.hear))
    desk.dispatcher.close()
    desk.dispatcher.submit(Asked("alarms.list", b"", None, desk.hear))
    assert [answer["status"] for answer in desk.answers] == ["error", "error"]
    assert desk.dispatcher.serve() is None


def test_a_request_that_is_too_large_is_refused() -> None:
    answer = Desk(["*"]).ask("alarms.list", b'{"machine": "' + b"x" * MAX_BYTES + b'"}')
    assert "is the most" in answer["error"]


def test_a_bucket_gives_a_burst_and_then_a_rate() -> None:
    bucket = Bucket(3, 2.0)
    assert [bucket.take(0) for _ in range(5)] == [True, True, True, False, False]
    assert [bucket.take(NANOSECONDS) for _ in range(3)] == [True, True, False]
    assert [bucket.take(NANOSECONDS * 100) for _ in range(4)] == [True, True, True, False]
