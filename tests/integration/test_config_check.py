"""The check of a whole configuration: what is sound comes back proven, what is wrong all at once, what is odd as a warning."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.config.broker import Broker
from agent.config.check import check
from agent.config.checked import ChannelRef, SerialPlace, Subscription
from tests.harness.agent_folder import AgentFolder

WEEK_H = 168.0


def test_a_sound_configuration_comes_back_parsed_resolved_and_proven(agent: AgentFolder) -> None:
    checked = check(agent.config)
    accel, drive = checked.devices["accel"], checked.devices["drive"]
    assert accel.place == SerialPlace(str(agent.folder / "ttyACCEL"), 230_400, "none", 1)
    assert isinstance(drive.place, Subscription)
    assert (drive.place.connection.broker, drive.place.topic) == (Broker("127.0.0.1", 1883, False), "plant/drive/+")
    machine = checked.machines["pump-1"]
    assert machine.channels == (
        ChannelRef("accel", "x", 0),
        ChannelRef("accel", "y", 1),
        ChannelRef("drive", "current", 0),
    )
    assert machine.feeds == {"accel": [(0, 0), (1, 1)], "drive": [(0, 2)]}
    assert machine.false_alarms_per_hour == pytest.approx(1 / WEEK_H)
    assert machine.session.provider
    assert (checked.upstream.username, checked.upstream.password) == ("line-3", "hunter2")
    assert "hunter2" not in repr(checked)
    assert checked.state == agent.folder / "state"
    assert (checked.health_every_ns, checked.inference.deadline_ns, checked.keepalive_s) == (30 * 10**9, 10 * 10**9, 20)
    assert checked.warnings == ()


def test_mistakes_of_every_kind_come_in_one_list(agent: AgentFolder) -> None:
    agent.replace('state = "state"', 'stat = "state"')
    agent.replace("mqtt://localhost:1883", "mqtt://broker.plant")
    agent.replace('"accel-cobs"', '"nothing"')
    agent.replace("release.pub", "other.pub")
    agent.replace("pump.stethos", "other.stethos")
    agent.replace("1 per week", "seldom")
    agent.replace("drive.current", "drive.curent")
    (agent.folder / "password").chmod(0o644)
    places = [problem.split(": ")[1] for problem in agent.problems()]
    assert places == [
        "agent.stat",
        "upstream.broker",
        "upstream.password",
        "device[0].profile",
        "trust.keys[0]",
        "machine[0].false_alarms",
        "machine[0].channels[2]",
        "machine[0].bundle",
    ]


def test_a_port_that_is_not_there_is_a_warning_because_it_may_be_plugged_in_later(agent: AgentFolder) -> None:
    (agent.folder / "ttyACCEL").unlink()
    [warning] = check(agent.config).warnings
    assert f"device[0].serial.port: there is no {agent.folder}/ttyACCEL now" in str(warning)


def test_a_device_that_no_machine_uses_is_a_warning(agent: AgentFolder) -> None:
    (agent.folder / "tty2").touch()
    agent.text += '[[device]]\nid = "spare"\nprofile = "accel-cobs"\nserial = { port = "tty2", baud = 9600 }\n'
    agent.write()
    checked = check(agent.config)
    assert checked.devices["spare"].place == SerialPlace(str(agent.folder / "tty2"), 9600, "none", 1)
    [warning] = checked.warnings
    assert str(warning).endswith("agent.toml:29: device[2]: the device 'spare' is read, and no machine uses it")


def test_durations_reach_the_machine_under_their_names(agent: AgentFolder) -> None:
    agent.replace('"1 per week"', '"1 per week"\non_delay = "1s"\noff_delay = "2s"\nsummary_every = "3s"')
    machine = check(agent.config).machines["pump-1"]
    assert (machine.on_delay_ns, machine.off_delay_ns, machine.summary_every_ns) == (10**9, 2 * 10**9, 3 * 10**9)


def test_an_encrypted_broker_keeps_each_file_in_its_place(agent: AgentFolder) -> None:
    for name in ("ca", "certificate", "key"):
        (agent.folder / name).write_text("-----BEGIN X-----")
    (agent.folder / "key").chmod(0o600)
    agent.replace("mqtt://localhost:1883", "mqtts://broker.plant")
    agent.replace("[trust]", 'ca = "ca"\nclient_certificate = "certificate"\nclient_key = "key"\n[trust]')
    upstream = check(agent.config).upstream
    assert upstream.broker == Broker("broker.plant", 8883, True)
    assert (upstream.ca, upstream.certificate, upstream.key) == tuple(
        agent.folder / name for name in ("ca", "certificate", "key")
    )


def test_a_credential_is_read_from_systemds_folder(
    agent: AgentFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent.replace('{ file = "password" }', '{ credential = "password" }')
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "password").chmod(0o440)  # as systemd leaves it where it grants access by ACL
    assert check(agent.config).upstream.password == "hunter2"
