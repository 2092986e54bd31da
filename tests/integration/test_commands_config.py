"""What a configuration says of commands and of the journal: mistakes are named with their place, secrets stay where they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.commands.catalogue import READING
from agent.config.check import check
from agent.config.commands import without_secrets
from agent.errors import ConfigError
from agent.infer.keys import key_id
from tests.harness.agent_folder import KEY, AgentFolder


@pytest.fixture
def agent(tmp_path: Path) -> AgentFolder:
    return AgentFolder(tmp_path)


def with_commands(agent: AgentFolder, text: str) -> Path:
    agent.text += f"\n[commands]\n{text}\n"
    agent.write()
    return agent.config


def test_without_a_word_mqtt_may_read_and_the_socket_lies_with_the_state(agent: AgentFolder) -> None:
    found = check(agent.config).commands
    assert found.mqtt == READING
    assert found.socket == agent.folder / "state" / "control.sock"
    assert found.keys == ()


def test_keys_socket_and_journal_are_taken_from_the_file(agent: AgentFolder) -> None:
    agent.text = agent.text.replace("[[device]]", "[outbox]\njournal_records = 2000\n[[device]]", 1)
    checked = check(with_commands(agent, 'mqtt = ["alarms.*"]\nkeys = ["release.pub"]\nsocket = "run/c.sock"'))
    assert [key_id(key) for key in checked.commands.keys] == [key_id(KEY.public_key())]
    assert checked.commands.socket == agent.folder / "run" / "c.sock"
    assert checked.config.outbox.journal_records == 2000
    assert [str(each) for each in checked.warnings if "commands" in str(each)] == []


def test_acts_that_anybody_on_the_broker_may_ask_for_are_warned_of(agent: AgentFolder) -> None:
    [warning] = [
        each for each in check(with_commands(agent, 'mqtt = ["alarms.a*"]')).warnings if "commands" in each.where
    ]
    assert "may ask for alarms.ack, under any name" in warning.what


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('mqtt = ["alarm.ack"]', "there is no command 'alarm.ack' (did you mean 'alarms.ack'?)"),
        ('keys = ["nobody.pub"]', "cannot read"),
        ('keys = ["password"]', "no public key in PEM form"),
        ("tcp = 80", "unknown key 'tcp'"),
    ],
)
def test_a_mistake_is_named_with_its_place(agent: AgentFolder, text: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as raised:
        check(with_commands(agent, text))
    assert complaint in str(raised.value)
    assert "agent.toml:" in str(raised.value)


def test_a_journal_too_small_to_be_one_is_refused(agent: AgentFolder) -> None:
    agent.text = agent.text.replace("[[device]]", "[outbox]\njournal_records = 10\n[[device]]", 1)
    agent.write()
    with pytest.raises(ConfigError, match="write 1000 to"):
        check(agent.config)


def test_a_group_must_be_a_name(agent: AgentFolder) -> None:
    agent.replace('bundle = "pump.stethos"', 'bundle = "pump.stethos"\ngroup = "pump house"')
    with pytest.raises(ConfigError, match="'pump house' cannot stand in a topic"):
        check(agent.config)


def test_the_configuration_that_is_told_holds_no_secret_and_no_way_to_one(agent: AgentFolder) -> None:
    told = json.dumps(without_secrets(check(agent.config).config))
    assert "hunter2" not in told
    assert '"password": "set"' in told
    assert '"file"' not in told
