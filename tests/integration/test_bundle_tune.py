"""`stethos bundle tune` measures on this box, and the next start runs what it found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.config.check import check
from tests.harness.agent_folder import AgentFolder
from tests.harness.command_line import stethos


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.infer.tuning._ROUND_NS", 1_000_000)


def test_what_was_tuned_is_used_by_the_next_start_and_told_by_doctor(tmp_path: Path) -> None:
    agent = AgentFolder(tmp_path)
    assert check(agent.config, list).machines["pump-1"].session.tuning == "not tuned"
    result = stethos("bundle", "tune", agent.config)
    assert result.exit_code == 0, result.output
    assert "fp32 on CPUExecutionProvider, in batches of " in result.output
    assert "windows/s by batch: 1: " in result.output
    tuning = check(agent.config, list).machines["pump-1"].session.tuning
    assert tuning.startswith("tuned 20")
    assert tuning in stethos("doctor", agent.config).output


def test_it_answers_in_json_too(tmp_path: Path) -> None:
    agent = AgentFolder(tmp_path)
    result = stethos("bundle", "tune", agent.config, "--json")
    [(_, tuned)] = json.loads(result.stdout).items()
    assert (tuned["provider"], tuned["variant"], tuned["batch_sizes"][-1]) == ("CPUExecutionProvider", "fp32", 1)


def test_what_was_tuned_for_other_threads_is_stale_and_check_goes_on(tmp_path: Path) -> None:
    agent = AgentFolder(tmp_path)
    stethos("bundle", "tune", agent.config)
    agent.text += "\n[inference]\nthreads = 2\n"
    agent.write()
    session = check(agent.config, list).machines["pump-1"].session
    assert session.tuning == ("its tuning is stale and not used (threads was 1, is 2); run `stethos bundle tune` again")


def test_a_folder_that_cannot_be_written_fails_with_a_remedy(tmp_path: Path) -> None:
    agent = AgentFolder(tmp_path)
    (tmp_path / "state").mkdir(exist_ok=True)
    (tmp_path / "state" / "inference").write_bytes(b"")
    result = stethos("bundle", "tune", agent.config)
    assert result.exit_code == 1
    assert "run this as the user that runs stethos" in result.output
