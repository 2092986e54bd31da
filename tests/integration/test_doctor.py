"""`stethos doctor` looks at the box itself: real ports and folders, dialled hosts, made listings where USB is needed."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from agent.config.check import check
from agent.doctor import Finding, dial, examine
from agent.ports.identity import Port
from tests.harness.agent_folder import AgentFolder
from tests.harness.broker import free_port
from tests.harness.command_line import stethos
from tests.harness.pty_device import PtyDevice


@pytest.fixture
def agent(tmp_path: Path) -> AgentFolder:
    folder = AgentFolder(tmp_path)
    (tmp_path / "ttyACCEL").unlink()
    return folder


def refused(host: str, port: int) -> None:
    raise ConnectionRefusedError(111, "Connection refused")


def found(agent: AgentFolder, ports: list[Port] | None = None, dialled=lambda *_: None) -> dict[str, Finding]:
    return {each.where: each for each in examine(check(agent.config, list), lambda: ports or [], dialled)}


def test_a_box_where_all_is_there_is_well(agent: AgentFolder) -> None:
    with PtyDevice(agent.folder / "ttyACCEL") as device:
        findings = found(agent)
        assert findings["device accel"].what.startswith(f"{device.tty} is there, open by ")  # by this test itself
    assert all(finding.well for finding in findings.values())
    assert set(findings) == {"device accel", "upstream", "device drive", "machine pump-1", "state"}


def test_each_thing_that_is_not_well_has_its_remedy(agent: AgentFolder) -> None:
    findings = found(agent, dialled=refused)
    for where in ("device accel", "upstream", "device drive"):
        assert not findings[where].well
    assert "there is no" in findings["device accel"].what
    assert "is not reached: [Errno 111] Connection refused" in findings["upstream"].what


def test_the_wrong_device_is_told(agent: AgentFolder) -> None:
    agent.replace('port = "ttyACCEL"', 'port = "ttyACCEL", usb_serial = "A50285BI"')
    with PtyDevice(agent.folder / "ttyACCEL") as device:
        findings = found(agent, [Port(device.tty, (), "0403:6001", "B9")])
    assert "wrong device at" in findings["device accel"].what


def test_a_full_disk_is_told(agent: AgentFolder) -> None:
    agent.text += "\n[outbox]\nmax_bytes = 4611686018427387904\n"
    agent.write()
    assert "the outbox may need" in found(agent)["state"].what


def test_dialling_reaches_what_listens_and_nothing_else() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        dial(*server.getsockname())
    with pytest.raises(OSError):
        dial("127.0.0.1", free_port())


def test_the_command_says_all_of_it_and_fails_where_something_is_not_well(agent: AgentFolder) -> None:
    agent.replace('broker = "mqtt://localhost:1883"', f'broker = "mqtt://127.0.0.1:{free_port()}"')
    result = stethos("doctor", agent.config)
    assert result.exit_code == 1
    assert "FAIL device accel: there is no" in result.output
    assert "ok   machine pump-1: its model runs on" in result.output
    rows = json.loads(stethos("doctor", agent.config, "--json").output)
    assert {row["where"]: row["well"] for row in rows}["upstream"] is False
