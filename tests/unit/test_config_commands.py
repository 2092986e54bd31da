"""Who may change the configuration: only whom the file on the box allows it by its whole name, signed where keys are set, and bounded."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.commands.access import sign
from agent.commands.catalogue import COMMANDS, LONGEST_CONFIG, ApplyConfig, StageConfig
from agent.commands.request import MAX_BYTES, MAX_CONFIG_BYTES
from tests.harness.commands import Desk

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
CHANGING = [name for name, command in COMMANDS.items() if command.config]
BY = {"by": "Meier"}


def test_there_are_four_and_none_of_them_only_reads() -> None:
    assert CHANGING == ["config.stage", "config.apply", "config.confirm", "config.revert"]
    assert not any(COMMANDS[name].reads for name in CHANGING)


@pytest.mark.parametrize("pattern", ["*", "config.*", "config.?onfirm", "*.confirm"])
def test_no_pattern_allows_them(pattern: str) -> None:
    desk = Desk([pattern])
    assert "may not be asked for" in desk.ask("config.confirm", BY)["error"]
    assert desk.wishes == []
    assert not desk.access.allows("config.confirm")


def test_the_whole_name_does() -> None:
    desk = Desk(["config.apply"])
    assert desk.ask("config.apply", {**BY, "confirm_within": "5m"})["status"] == "ok"
    [wish] = desk.wishes
    assert (wish.command, wish.arguments) == ("config.apply", ApplyConfig(by="Meier", confirm_within="5m"))
    assert wish.record["over"] == "mqtt"
    assert "may not be asked for" in desk.ask("config.confirm", BY)["error"]


def test_where_keys_are_set_they_must_be_signed() -> None:
    desk = Desk(["config.confirm"], [KEY.public_key()])
    assert "must be signed" in desk.ask("config.confirm", BY)["error"]
    payload = sign("line-3", "config.confirm", BY, key=KEY, time_ns=desk.clock.now_ns(), nonce="12345678")
    assert desk.ask("config.confirm", payload)["status"] == "ok"
    assert len(desk.wishes) == 1


def test_a_whole_configuration_fits_signed_too_and_nothing_longer() -> None:
    text = "# line\n" * (LONGEST_CONFIG // 7)
    desk = Desk(["config.stage"], [KEY.public_key()])
    payload = sign(
        "line-3", "config.stage", {**BY, "text": text}, key=KEY, time_ns=desk.clock.now_ns(), nonce="12345678"
    )
    assert len(payload) <= MAX_CONFIG_BYTES
    assert desk.ask("config.stage", payload)["status"] == "ok"
    assert desk.wishes[0].arguments == StageConfig(by="Meier", text=text)
    unsigned = Desk(["config.stage", "config.apply"])
    assert unsigned.ask("config.stage", {**BY, "text": "x" * (LONGEST_CONFIG + 1)})["status"] == "error"
    assert f"{MAX_CONFIG_BYTES} is the most" in unsigned.ask("config.stage", b" " * (MAX_CONFIG_BYTES + 1))["error"]
    assert f"{MAX_BYTES} is the most" in unsigned.ask("config.apply", b" " * (MAX_BYTES + 1))["error"]
