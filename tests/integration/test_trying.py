"""A configuration is checked in a process of its own: every problem comes back with its place, and a check that hangs or dies is one too."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from agent.config import trying
from agent.config.trying import problems_of
from tests.harness.agent_folder import AgentFolder


@pytest.fixture
def folder(tmp_path: Path) -> AgentFolder:
    return AgentFolder(tmp_path)


def test_a_sound_file_and_a_sound_text_have_none(folder: AgentFolder) -> None:
    assert problems_of(folder.config) == []
    sound = folder.text
    folder.config.write_text("broken = ")
    assert problems_of(folder.config, sound) == []


def test_every_problem_has_its_line_in_the_file_or_in_the_text(folder: AgentFolder) -> None:
    spoilt = folder.text.replace("1 per week", "never").replace("mqtt://localhost:1883", "nowhere")
    in_text = problems_of(folder.config, spoilt)
    folder.config.write_text(spoilt)
    in_file = problems_of(folder.config)
    assert [problem.where.partition(":")[0] for problem in in_text] == ["the configuration"] * 2
    assert [problem.where.partition(":")[0] for problem in in_file] == [str(folder.config)] * 2
    assert [problem.where.partition(":")[2] for problem in in_text] == [
        problem.where.partition(":")[2] for problem in in_file
    ]
    assert [problem.where.rpartition(" ")[2] for problem in in_file] == ["upstream.broker", "machine[0].false_alarms"]


def test_a_check_that_hangs_is_a_problem(folder: AgentFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trying, "TIMEOUT_S", 0.01)
    [problem] = problems_of(folder.config)
    assert "not done within 0.01 s" in problem.what


def test_a_check_that_dies_is_a_problem(folder: AgentFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dying = tmp_path / "python"
    dying.write_text("#!/bin/sh\necho killed by its model >&2\nkill -9 $$\n")
    dying.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(dying))
    [problem] = problems_of(folder.config)
    assert problem.what == "the check ended with -9: killed by its model"


def test_a_program_that_cannot_be_started_is_a_problem(folder: AgentFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    [problem] = problems_of(folder.config)
    assert problem.what == "it could not be checked: No such file or directory"
