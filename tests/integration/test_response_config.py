"""Responses in the agent's file: whole ones reach the daemon as they are meant, each mistake has its own message."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from agent.config.check import check
from agent.decide.responses import ResponseRules
from agent.types import NANOSECONDS
from tests.harness.agent_folder import ACCEL, AgentFolder

COMMAND = '[command.stop]\nsend = "STOP\\r\\n"\nexpect = "OK"\n'
RESPONSES = """
[[machine.response]]
name = "stop"
points = ["model"]
least = "high"
armed = true
confirm = "10s"
min_interval = "5m"
timeout = "2s"
serial = { device = "accel", command = "stop" }
[[machine.response]]
name = "tell"
on = "cleared"
armed = true
mqtt = { topic = "plant/feed/command", payload = "GO" }
[[machine.response]]
name = "call"
armed = true
program = { file = "call.sh", arguments = ["--loud"] }
[responses]
programs = "programs"
"""


@pytest.fixture
def responding(agent: AgentFolder) -> AgentFolder:
    agent.profile("accel-cobs", ACCEL + COMMAND)
    programs = agent.folder / "programs"
    programs.mkdir(mode=0o755)
    (programs / "call.sh").write_text("#!/bin/sh\n")
    (programs / "call.sh").chmod(0o755)
    agent.text += RESPONSES
    agent.write()
    return agent


def test_a_sound_response_reaches_the_daemon_as_it_is_meant(responding: AgentFolder) -> None:
    stop, tell, call = check(responding.config).responses
    assert stop.rules == ResponseRules(
        machine="pump-1",
        name="stop",
        on="raised",
        points=("model",),
        least="high",
        armed=True,
        dry_run=False,
        confirm_ns=10 * NANOSECONDS,
        min_interval_ns=300 * NANOSECONDS,
    )
    assert stop.timeout_s == 2
    assert (tell.rules.on, tell.rules.points, tell.rules.least) == ("cleared", ("*",), "low")
    assert call.folder == responding.folder / "programs"


def test_nothing_is_armed_and_a_warning_says_so_unless_it_is_said(responding: AgentFolder) -> None:
    responding.replace('on = "cleared"\narmed = true', 'on = "cleared"')
    checked = check(responding.config)
    assert [response.rules.armed for response in checked.responses] == [True, False, True]
    assert any("'tell' is not armed and does nothing" in str(warning) for warning in checked.warnings)


MISTAKES: dict[str, tuple[Callable[[AgentFolder], None], str]] = {
    "no thing to do": (
        lambda a: a.replace('mqtt = { topic = "plant/feed/command", payload = "GO" }', ""),
        "has 0 things to do",
    ),
    "two things to do": (
        lambda a: a.replace('["--loud"] }', '["--loud"] }\nmqtt = { topic = "x" }'),
        "has 2 things to do",
    ),
    "a wildcard": (lambda a: a.replace("plant/feed/command", "plant/+"), "no topic that can be published on"),
    "an own topic": (lambda a: a.replace("plant/feed/command", "stethos/line-3/health"), "this agent's own"),
    "a broker's topic": (lambda a: a.replace("plant/feed/command", "$SYS/x"), "no topic that can be published on"),
    "no such device": (lambda a: a.replace('device = "accel",', 'device = "axel",'), "did you mean 'accel'?"),
    "no such command": (lambda a: a.replace('command = "stop"', 'command = "halt"'), "has no command 'halt'"),
    "no such point": (lambda a: a.replace('points = ["model"]', 'points = ["heat.*"]'), "no alarm point 'heat.*'"),
    "no folder": (lambda a: a.replace('[responses]\nprograms = "programs"', ""), "no program may be started"),
    "no such program": (lambda a: a.replace("call.sh", "cal.sh"), "No such file"),
    "a path": (lambda a: a.replace("call.sh", "../call.sh"), "is no file's name"),
    "open to others": (lambda a: (a.folder / "programs").chmod(0o777), "can be written by others"),
    "named twice": (lambda a: a.replace('name = "tell"', 'name = "stop"'), "named twice"),
    "too short": (lambda a: a.replace('min_interval = "5m"', 'min_interval = "10ms"'), "outside of 1s to 30d"),
    "too long": (lambda a: a.replace('timeout = "2s"', 'timeout = "1h"'), "outside of 100ms to 60s"),
    "a bad answer": (
        lambda a: a.profile("accel-cobs", ACCEL + COMMAND.replace('"OK"', '"("')),
        "no regular expression",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_has_its_own_message(responding: AgentFolder, mistake: str) -> None:
    spoil, expected = MISTAKES[mistake]
    spoil(responding)
    (problem,) = responding.problems()
    assert expected in problem


def test_a_profile_that_nothing_can_be_sent_to_has_no_commands(responding: AgentFolder) -> None:
    drive = (responding.folder / "firmware_configs" / "drive-json.toml").read_text()
    responding.profile("drive-json", drive + COMMAND)
    (problem,) = responding.problems()
    assert "nothing can be sent over transport 'mqtt'" in problem
