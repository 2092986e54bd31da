"""Requests about bundles: who may ask for what, how they are passed on, answered and recorded."""

from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.commands.access import sign
from agent.commands.catalogue import COMMANDS, READING, REMOTE, Install, OfBundle, Shadow
from tests.harness.commands import Desk

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
CHANGING = ["bundle.activate", "bundle.rollback", "bundle.shadow", "bundle.promote"]


def submit(desk: Desk, name: str, fields: dict[str, object], peer: str | None = None) -> None:
    from agent.commands.dispatcher import Asked

    desk.dispatcher.submit(Asked(name, json.dumps(fields).encode(), peer, desk.hear))
    desk.work()


def test_the_list_is_read_by_anybody_and_nothing_else_is_by_default() -> None:
    desk = Desk()
    assert desk.ask("bundle.list", {})["data"] == {"bundles": {}, "refused": []}
    assert "bundle.list" in READING
    for name in CHANGING:
        assert "may not be asked for" in desk.ask(name, {"bundle": "pump", "by": "x"})["error"]
    assert desk.wishes == []


@pytest.mark.parametrize("allowed", [["*"], ["bundle.*"], ["bundle.install"]])
def test_a_file_of_the_box_is_never_named_over_the_network(allowed: list[str]) -> None:
    desk = Desk(allowed)
    assert "is taken on the box alone" in desk.ask("bundle.install", {"file": "/x", "by": "x"})["error"]
    listed = {each["command"]: each for each in desk.ask("commands.list", {}, peer="anna")["data"]}
    assert listed["bundle.install"]["allowed"]
    assert "bundle.install" not in REMOTE
    assert not desk.access.allows("bundle.install")


@pytest.mark.parametrize("name", CHANGING)
def test_a_change_is_passed_on_with_who_asked_and_answered_later(name: str) -> None:
    desk = Desk(["bundle.*"])
    submit(desk, name, {"bundle": "pump", "by": "Meier", "comment": "why", "transaction": 7})
    assert desk.answers == []
    (wish,) = desk.wishes
    assert (wish.command, wish.arguments.bundle, wish.record["by"]) == (name, "pump", "Meier")
    assert wish.record | {"time_ns": 0} == {
        "command": name, "by": "Meier", "over": "mqtt", "user": None, "key": None, "transaction": "7", "time_ns": 0,
        "comment": "why",
    }  # fmt: skip
    wish.done({"running": "2.0"})
    assert desk.answers[-1]["data"] == {"running": "2.0"}
    assert desk.answers[-1]["transaction"] == 7
    assert desk.dispatcher.counters.snapshot() == {"passed_on": 1, "requests": 1}


def test_a_refusal_comes_back_as_an_error() -> None:
    desk = Desk(["*"])
    submit(desk, "bundle.activate", {"bundle": "pump", "by": "x", "transaction": "t"})
    desk.wishes[0].refuse("it is barred")
    assert (desk.answers[-1]["status"], desk.answers[-1]["error"], desk.answers[-1]["transaction"]) == (
        "error", "it is barred", "t",
    )  # fmt: skip


def test_too_many_at_once_are_turned_away() -> None:
    desk = Desk(["*"])
    for _ in range(4):
        submit(desk, "bundle.activate", {"bundle": "pump", "by": "x"})
    assert len(desk.wishes) == 3
    assert "others are being proved: try again" in desk.answers[-1]["error"]


def test_a_local_user_is_named_beside_what_he_calls_himself() -> None:
    desk = Desk()
    submit(desk, "bundle.install", {"file": "/x.stethos"}, peer="anna")
    submit(desk, "bundle.shadow", {"bundle": "pump", "by": "Meier", "stop": True}, peer="anna")
    first, second = desk.wishes
    assert isinstance(first.arguments, Install)
    assert (first.record["by"], first.record["over"], first.record["user"]) == ("anna", "socket", "anna")
    assert isinstance(second.arguments, Shadow)
    assert (second.arguments.stop, second.record["by"]) == (True, "Meier (anna)")


def test_where_keys_are_set_a_change_must_be_signed_and_its_key_is_recorded() -> None:
    desk = Desk(["*"], [KEY.public_key()])
    assert "must be signed" in desk.ask("bundle.activate", {"bundle": "pump", "by": "x"})["error"]
    fields = {"bundle": "pump", "by": "Meier"}
    payload = sign(
        "line-3", "bundle.activate", fields, key=KEY, time_ns=desk.clock.now_ns(), nonce="0123456789"
    )  # fmt: skip
    submit(desk, "bundle.activate", json.loads(payload))
    assert len(desk.wishes[0].record["key"]) == 16
    assert desk.commits[-1].state, "its nonce is kept"


def test_every_command_about_bundles_says_that_it_changes_something() -> None:
    about = {name: command for name, command in COMMANDS.items() if name.startswith("bundle.")}
    assert [name for name, command in about.items() if command.reads] == ["bundle.list"]
    assert all(issubclass(about[name].arguments, OfBundle) for name in CHANGING)
