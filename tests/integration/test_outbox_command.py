"""`stethos outbox` on real files: what waits, what is damaged, out as JSON lines and in again, never under a running agent."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import Result

from agent.types import Kind, Message
from tests.harness.command_line import stethos
from tests.harness.outbox import a_message, open_outbox

CONFIG = """
device = []
machine = []
trust = { keys = [] }
[agent]
id = "line-3"
state = "state"
[upstream]
broker = "mqtt://localhost"
[outbox]
max_bytes = 1048576
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "agent.toml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "outbox.db"


def outbox_command(config: Path, command: str, *arguments: object) -> Result:
    return stethos("outbox", command, *arguments, "--config", config)


def fill(file: Path, *messages: Message) -> None:
    outbox = open_outbox(file)
    outbox.commit(messages, {"alarm/pump-1": b"1"})
    outbox.close()


def held(file: Path) -> list[Message]:
    outbox = open_outbox(file)
    try:
        return [row.message for row in outbox.next_rows(100_000)]
    finally:
        outbox.close()


def damage(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[data.index(b"m5.") + 10] ^= 1
    file.write_bytes(data)


def test_ls_names_what_waits_in_the_order_of_sending(config: Path, file: Path) -> None:
    fill(
        file,
        a_message("s1", Kind.SUMMARY, 100, created_ns=10**18),
        a_message("a1", created_ns=2 * 10**18),
        a_message("a2"),
    )
    said = outbox_command(config, "ls", "--limit", 2).output.splitlines()
    assert said[0].startswith("alarm    2033-05-18T03:33:20Z")
    assert said[1].endswith("stethos/line-3/alarm  a2")
    assert said[2:] == ["... and 1 more", "2 alarm (80 bytes), 1 summary (100 bytes)"]
    found = json.loads(outbox_command(config, "ls", "--json").stdout)
    assert found["waiting"] == {"alarm": {"rows": 2, "bytes": 80}, "summary": {"rows": 1, "bytes": 100}}
    assert [each["key"] for each in found["messages"]] == ["a1", "a2", "s1"]


def test_an_empty_outbox_says_so(config: Path, file: Path) -> None:
    fill(file)
    assert outbox_command(config, "ls").output == "nothing waits\n"
    assert "is sound: 0 messages, 1 states, 1 records" in outbox_command(config, "fsck").output


@pytest.mark.parametrize("command", [["ls"], ["fsck"], ["fsck", "--salvage"], ["export"], ["replay", __file__]])
def test_under_a_running_agent_every_command_says_so_and_touches_nothing(
    config: Path, file: Path, tmp_path: Path, command: list[str]
) -> None:
    lines = tmp_path / "lines"
    lines.write_bytes(b"")
    outbox = open_outbox(file)
    outbox.commit([a_message("a")])
    result = outbox_command(config, *(str(lines) if each == __file__ else each for each in command))
    assert result.exit_code == 1
    assert "outbox.db: database is locked; another stethos has it open: stop that one first" in result.stderr
    outbox.commit([a_message("b")])
    outbox.close()
    assert [message.key for message in held(file)] == ["a", "b"]


@pytest.mark.parametrize("command", ["ls", "fsck", "export"])
def test_a_file_that_is_not_there_is_not_made(config: Path, file: Path, command: str) -> None:
    result = outbox_command(config, command)
    assert result.exit_code == 1
    assert "there is no such file; has the agent ever run with this configuration?" in result.stderr
    assert not file.exists()


def test_what_was_exported_comes_back_with_the_same_keys_and_bytes(config: Path, file: Path, tmp_path: Path) -> None:
    messages = [
        a_message("a", expiry_s=60, created_ns=7),
        Message("b", Kind.SUMMARY, "t", b"\xff\x00", 9),
        a_message("ä"),
    ]
    fill(file, *messages)
    lines = tmp_path / "lines"
    assert outbox_command(config, "export", "-o", lines).exit_code == 0
    assert json.loads(lines.read_bytes().splitlines()[0])["payload"].startswith("a.")
    file.unlink()
    fill(file, messages[0])
    assert json.loads(outbox_command(config, "replay", lines, "--json").stdout) == {"entered": 2, "already_there": 1}
    assert sorted(held(file), key=lambda message: message.key) == messages
    assert outbox_command(config, "replay", lines).output == "0 messages wait again, 3 were there already\n"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{}", "missing required field `key`"),
        ('{"key":"k","kind":"alert","topic":"t","created_ns":1,"payload":""}', "there is no kind 'alert'"),
        ('{"key":"k","kind":"alarm","topic":"t","created_ns":1}', "exactly one of payload and payload_base64"),
        ("not json", "malformed"),
    ],
)
def test_a_line_that_is_no_message_is_named_and_nothing_is_put_in(
    config: Path, file: Path, tmp_path: Path, line: str, why: str
) -> None:
    fill(file)
    good = '{"key":"k","kind":"alarm","topic":"t","created_ns":1,"payload":"{}"}\n'
    lines = tmp_path / "lines"
    lines.write_text(good + line + "\n")
    result = outbox_command(config, "replay", lines)
    assert result.exit_code == 1
    assert "lines: line 2: " in result.stderr
    assert why in result.stderr
    assert held(file) == []


def test_what_does_not_fit_is_told_and_evicts_nothing(config: Path, file: Path, tmp_path: Path) -> None:
    fill(file, a_message("s", Kind.SUMMARY))
    lines = tmp_path / "lines"
    row = {"kind": "alarm", "topic": "t", "created_ns": 1, "payload": "x" * 3000}
    lines.write_text("".join(json.dumps({"key": f"k{number}", **row}) + "\n" for number in range(500)))
    result = outbox_command(config, "replay", lines)
    assert result.exit_code == 1
    assert "does not fit any more; let the agent send, or raise outbox.max_bytes, and replay again" in result.stderr
    outbox = open_outbox(file, 2_000_000)
    keys = [each.message.key for each in outbox.next_rows(1000)]
    assert keys[-1] == "s"
    assert 300 < len(keys) < 500


def test_fsck_tells_damage_and_changes_nothing_until_it_is_asked_to(config: Path, file: Path) -> None:
    fill(file, *(a_message(f"m{number}") for number in range(10)))
    damage(file)
    before = file.read_bytes()
    result = outbox_command(config, "fsck")
    assert result.exit_code == 1
    assert "message: 1 of 10 rows cannot be read, or are not as they were written" in result.output
    assert file.read_bytes() == before
    found = json.loads(outbox_command(config, "fsck", "--salvage", "--json").stdout)
    assert found["readable"] == {"messages": 9, "states": 1, "records": 1}
    assert Path(found["moved_to"]).read_bytes() == before
    assert outbox_command(config, "fsck").exit_code == 0
    assert len(held(file)) == 9


def test_a_file_that_is_none_is_examined_too(config: Path, file: Path) -> None:
    file.parent.mkdir()
    file.write_bytes(b"no database at all " * 500)
    result = outbox_command(config, "fsck")
    assert result.exit_code == 1
    assert "file is not a database" in result.output
    assert outbox_command(config, "ls").output == "nothing waits\n"


def test_the_damaged_file_that_was_moved_aside_can_still_be_exported_and_replayed(
    config: Path, file: Path, tmp_path: Path
) -> None:
    fill(file, *(a_message(f"m{number}") for number in range(10)))
    damage(file)
    moved_to = json.loads(outbox_command(config, "fsck", "--salvage", "--json").stdout)["moved_to"]
    lines = tmp_path / "lines"
    lines.write_bytes(outbox_command(config, "export", "--file", moved_to).stdout_bytes)
    assert json.loads(outbox_command(config, "replay", lines, "--json").stdout) == {"entered": 0, "already_there": 9}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act for another user")
def test_what_root_makes_belongs_to_the_services_user(config: Path, file: Path) -> None:
    fill(file, a_message("m5"))
    for each in (file.parent, *file.parent.iterdir()):
        os.chown(each, 1234, 1234)
    damage(file)
    assert outbox_command(config, "fsck", "--salvage").exit_code == 0
    assert {each.stat().st_uid for each in file.parent.iterdir()} == {1234}
