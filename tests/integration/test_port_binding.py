"""A port bound by serial number: made listings stand for real USB, real pseudo-terminals for what is plugged in."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.clock import SystemClock
from agent.config.check import check
from agent.config.checked import SerialPlace
from agent.errors import ConfigError
from agent.ports.identity import Identity, Port
from agent.sources.buffer import ChunkBuffer
from agent.sources.serial_port import SerialSource
from tests.harness.agent_folder import AgentFolder
from tests.harness.broker import wait_until
from tests.harness.pty_device import PtyDevice
from tests.harness.reading import collect, joined, running

WANTED = Identity("A50285BI", "0403:6001")


class Usb:
    """What is plugged in: devices by their serial number, listed at the path that each has now."""

    def __init__(self) -> None:
        self.plugged: dict[str, PtyDevice] = {}

    def ports(self) -> list[Port]:
        return [Port(device.tty, (), "0403:6001", serial, "FTDI", "FT232R") for serial, device in self.plugged.items()]


def source_of(usb: Usb, port: Path | None) -> tuple[SerialSource, ChunkBuffer]:
    buffer = ChunkBuffer(1_000_000)
    place = SerialPlace(None if port is None else str(port), 115_200, identity=WANTED)
    return SerialSource("d", place, buffer, SystemClock(), list_ports=usb.ports), buffer


def test_a_device_that_comes_back_under_another_name_is_read_again(tmp_path):
    usb = Usb()
    source, buffer = source_of(usb, None)
    first, second, stranger = (PtyDevice(tmp_path / name) for name in ("ttyUSB0", "ttyUSB3", "other"))
    with running(source), stranger:
        usb.plugged = {"B9": stranger}
        wait_until(lambda: "no port has the device 0403:6001" in source.status.error, 30.0, "absence told")
        with first:
            usb.plugged = {"B9": stranger, "A50285BI": first}
            wait_until(lambda: source.status.opened == 1, 30.0, "opened")
            first.write(b"one")
            assert joined(collect(buffer, 3), "d") == b"one"
            with second:  # so that it cannot get the first one's name
                usb.plugged = {"B9": stranger, "A50285BI": second}
                first.unplug()
                wait_until(lambda: source.status.opened == 2, 30.0, "opened again")
                second.write(b"two")
                assert joined(collect(buffer, 3), "d") == b"two"


def test_the_wrong_device_on_the_right_name_is_refused_and_never_read(tmp_path):
    usb = Usb()
    name = tmp_path / "ttyUSB0"
    source, buffer = source_of(usb, name)
    right, wrong = PtyDevice(name), PtyDevice(name)
    with running(source):
        with wrong:
            usb.plugged = {"B9": wrong}
            wait_until(lambda: "wrong device at" in source.status.error, 30.0, "a refusal")
            assert "it is 0403:6001, serial number B9 (FTDI FT232R)" in source.status.error
            assert "wanted is 0403:6001, serial number A50285BI" in source.status.error
            wrong.write(b"not mine")
            assert not source.status.is_open
        with right:
            usb.plugged = {"A50285BI": right}
            wait_until(lambda: source.status.is_open, 30.0, "opened")
            right.write(b"mine")
            assert joined(collect(buffer, 4), "d") == b"mine"
    assert source.status.opened == 1


def test_a_name_that_leads_to_another_port_is_followed(tmp_path):
    usb = Usb()
    link, first, second = tmp_path / "accel", PtyDevice(tmp_path / "ttyUSB0"), PtyDevice(tmp_path / "ttyUSB3")
    source, buffer = source_of(usb, link)
    with running(source), second:
        with first:
            link.symlink_to(first.path)
            usb.plugged = {"A50285BI": first}
            wait_until(lambda: source.status.is_open, 30.0, "opened")
        link.unlink()
        link.symlink_to(second.path)
        usb.plugged = {"A50285BI": second}
        wait_until(lambda: source.status.opened == 2, 30.0, "opened where the link leads now")
        second.write(b"here")
        assert joined(collect(buffer, 4), "d") == b"here"


def listing(agent: AgentFolder, serial: str) -> list[Port]:
    return [Port(str((agent.folder / "ttyACCEL").resolve()), (), "0403:6001", serial)]


def test_the_check_warns_of_the_wrong_device_where_it_is_there_now(agent: AgentFolder) -> None:
    agent.replace('port = "ttyACCEL"', 'port = "ttyACCEL", usb_serial = "A50285BI"')
    [warning] = check(agent.config, lambda: listing(agent, "B9")).warnings
    assert "device[0].serial.port: wrong device at" in str(warning)
    assert "serial number B9" in warning.what
    assert "serial number A50285BI" in warning.what
    assert check(agent.config, lambda: listing(agent, "A50285BI")).warnings == ()


def test_a_port_found_by_its_serial_number_needs_no_name(agent: AgentFolder) -> None:
    agent.replace('port = "ttyACCEL"', 'usb_serial = "A50285BI", vid_pid = "0403:6001"')
    checked = check(agent.config, lambda: listing(agent, "A50285BI"))
    assert checked.warnings == ()
    assert checked.devices["accel"].place == SerialPlace(None, 230_400, identity=WANTED)
    [warning] = check(agent.config, list).warnings
    assert "no port has the device" in warning.what


@pytest.mark.parametrize(
    ("serial", "what"),
    [
        ("", "device[0].serial.port: the port has no name"),
        ('vid_pid = "0403:6001"', "device[0].serial.port: the port has no name"),
        ('usb_serial = "A", vid_pid = "403:6001"', "'403:6001' is no VID:PID"),
        ('port = "ttyACCEL", usb_serial = ""', "the serial number is empty"),
        ('port = "ttyACCEL", usb_seriel = "A"', "did you mean 'usb_serial'?"),
    ],
)
def test_an_identity_that_means_nothing_is_a_problem(agent: AgentFolder, serial: str, what: str) -> None:
    agent.replace('port = "ttyACCEL"', serial)
    with pytest.raises(ConfigError) as caught:
        check(agent.config, list)
    assert what in str(caught.value)


def test_two_devices_cannot_have_one_serial_number(agent: AgentFolder) -> None:
    agent.replace('port = "ttyACCEL"', 'usb_serial = "A50285BI"')
    agent.text += '\n[[device]]\nid = "twin"\nprofile = "accel-cobs"\nserial = { usb_serial = "A50285BI" }\n'
    agent.write()
    with pytest.raises(ConfigError, match="already belongs to the device 'accel'"):
        check(agent.config, list)
