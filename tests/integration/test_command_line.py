"""The program as a user calls it: quick help, exit codes by whose fault it is, every problem on stderr."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys

import click
import pytest

from agent import __version__
from agent.cli.logs import JournalFormatter
from agent.errors import OutboxError
from tests.harness.agent_folder import AgentFolder
from tests.harness.command_line import stethos, stethos_process

HEAVY = ["numpy", "onnxruntime", "torch", "paho", "serial", "cryptography", "rich"]


def python(code: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **environ},
    )


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["run", "--help"], ["check", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = f"""
import sys
from agent.cli.main import main
try:
    main({arguments!r})
except SystemExit as end:
    assert end.code == 0, end
print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""
    assert python(code).stderr.strip() == "[]"


def test_the_daemons_modules_never_import_the_workstations() -> None:
    code = """
import importlib, pkgutil, sys
import agent
for module in pkgutil.walk_packages(agent.__path__, "agent."):
    if not module.name.startswith("agent.demo"):
        importlib.import_module(module.name)
assert "onnxruntime" in sys.modules
print([name for name in ("torch", "onnx", "sklearn", "scipy", "pyarrow", "export") if name in sys.modules])
"""
    assert python(code).stdout.strip() == "[]"


def test_help_lists_every_command_and_the_completion_line() -> None:
    text = stethos("--help").output
    for name in ("run", "check", "bundle", "demo", "model"):
        assert re.search(rf"^  {name}\s+\S", text, re.MULTILINE)
    assert "_STETHOS_COMPLETE=bash_source" in text


def test_shell_completion_offers_the_commands() -> None:
    environ = {"_STETHOS_COMPLETE": "bash_complete", "COMP_WORDS": "stethos ch", "COMP_CWORD": "1"}
    result = python("from agent.cli.main import main; main(prog_name='stethos')", **environ)
    assert result.stdout.strip() == "plain,check"


def test_the_version_is_the_packages() -> None:
    assert stethos("--version").output == f"stethos, version {__version__}\n"


def test_an_unknown_command_is_bad_usage() -> None:
    result = stethos("chekc")
    assert result.exit_code == 2
    assert "No such command" in result.stderr


def test_a_sound_configuration_says_what_will_run(agent: AgentFolder) -> None:
    result = stethos("check", str(agent.config))
    assert (result.exit_code, result.stderr) == (0, "")
    assert "machine pump-1: pump 1.0.0 on CPUExecutionProvider, channels: 3, false alarms: 1 per week" in result.stdout
    assert "device accel: accel-cobs from ttyACCEL, channels: 3" in result.stdout


@pytest.mark.parametrize("command", ["check", "run"])
def test_check_and_run_refuse_on_the_same_list(agent: AgentFolder, command: str) -> None:
    agent.replace("1 per week", "never")
    agent.replace("mqtt://localhost:1883", "nowhere")
    result = stethos_process(command, agent.config)
    assert (result.returncode, result.stdout) == (2, "")
    lines = [line for line in result.stderr.splitlines() if line.startswith(str(agent.config))]
    assert [line.split(": ")[1] for line in lines] == ["upstream.broker", "machine[0].false_alarms"]


def test_json_carries_what_will_run(agent: AgentFolder) -> None:
    agent.text += '[[device]]\nid = "spare"\nprofile = "accel-cobs"\nserial = { port = "tty2" }\n'
    agent.write()
    result = stethos("check", "--json", str(agent.config))
    answer = json.loads(result.stdout)
    assert (result.exit_code, answer["ok"], len(answer["warnings"])) == (0, True, 2)
    assert answer["devices"][1] == {
        "id": "drive",
        "profile": "drive-json",
        "place": "mqtt://127.0.0.1 plant/drive/+",
        "channels": 1,
    }
    assert answer["machines"][0]["bundle"] == "pump 1.0.0"


def test_json_carries_the_problems(agent: AgentFolder) -> None:
    agent.replace("1 per week", "never")
    result = stethos("check", "--json", str(agent.config))
    answer = json.loads(result.stdout)
    assert (result.exit_code, answer["ok"]) == (2, False)
    [problem] = answer["problems"]
    assert problem["where"].endswith("agent.toml:28: machine[0].false_alarms")
    assert set(problem) == {"where", "what", "remedy"}


@pytest.mark.parametrize(
    ("error", "exit_code", "said"),
    [
        (OutboxError("the disk is full"), 1, "stethos: the disk is full\n"),
        (
            ModuleNotFoundError("No module named 'torch'", name="torch"),
            1,
            "stethos: 'torch' is not installed; install stethos[train]\n",
        ),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_exit_codes_tell_whose_fault_it_was(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, exit_code: int, said: str
) -> None:
    @click.command()
    def failing() -> None:
        raise error

    monkeypatch.setattr("agent.cli.check.check", failing)
    result = stethos("check")
    assert (result.exit_code, result.stderr) == (exit_code, said)


def test_a_defect_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def defective() -> None:
        raise ModuleNotFoundError("No module named 'agent.nothing'", name="agent.nothing")

    monkeypatch.setattr("agent.cli.check.check", defective)
    assert isinstance(stethos("check").exception, ModuleNotFoundError)


def test_every_line_of_a_journal_record_carries_its_priority() -> None:
    record = logging.LogRecord("agent.x", logging.ERROR, "f", 1, "two\nlines", (), None)
    assert JournalFormatter("%(name)s: %(message)s").format(record) == "<3>agent.x: two\n<3>lines"


@pytest.mark.parametrize("journal", [True, False])
def test_priorities_are_written_only_where_stderr_is_the_journal(journal: bool) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading) as end:
        status = os.fstat(writing)
        stream = f"{status.st_dev}:{status.st_ino}" if journal else "1:2"
        code = "from agent.cli.logs import *; import logging; set_up_logging('info'); logging.warning('w'); logging.debug('d')"
        subprocess.run(
            [sys.executable, "-c", code],
            stderr=writing,
            env={**os.environ, "JOURNAL_STREAM": stream},
            timeout=60,
            check=True,
        )
        os.close(writing)
        text = end.read()
    assert (text == "<4>root: w\n") is journal
    assert " WARNING MainThread root: w\n" in text or journal
