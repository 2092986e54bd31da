"""An open line on a real pseudo-terminal: what comes is read in few pieces, what cannot be is said."""

from __future__ import annotations

import fcntl
import sys
import termios
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from agent.config.checked import SerialPlace
from agent.errors import LinkError
from agent.sources.serial_line import SerialLine
from tests.harness.broker import wait_until
from tests.harness.pty_device import PtyDevice


def test_what_is_written_arrives_and_what_arrives_is_read(tmp_path: Path) -> None:
    with PtyDevice(tmp_path / "tty") as device, SerialLine(str(device.path), SerialPlace(None, 115_200)) as line:
        line.write(b"\x00\xffSTART\r\n")
        assert device.read(30.0) == b"\x00\xffSTART\r\n"
        device.write(b"\x11\x13\x00\xff")
        assert line.read(30.0) == b"\x11\x13\x00\xff"
        assert line.read(0.05) == b""


def test_a_line_that_streams_is_read_in_pieces_and_not_byte_by_byte(tmp_path: Path) -> None:
    with PtyDevice(tmp_path / "tty") as device, SerialLine(str(device.path), SerialPlace(None, 921_600)) as line:
        device.write(b"x")
        assert line.read(30.0) == b"x"
        for _ in range(50):
            device.write(b"yz")
        wait_until(lambda: waiting(device.path) == 100, 30.0, "all of it in the kernel")
        assert line.read(30.0) == b"yz" * 50


def test_a_port_that_is_gone_says_so_whatever_is_asked_of_it(tmp_path: Path) -> None:
    device = PtyDevice(tmp_path / "tty")
    device.plug()
    with SerialLine(str(device.path), SerialPlace(None, 115_200)) as line:
        device.unplug()
        with pytest.raises(LinkError, match="is gone"):
            line.read(1.0)
        with pytest.raises(LinkError, match="cannot write to"):
            line.write(b"x")


def test_rs485_on_a_port_that_has_none_is_refused(tmp_path: Path) -> None:
    with PtyDevice(tmp_path / "tty") as device, pytest.raises(LinkError, match="has no RS-485 mode"):
        SerialLine(str(device.path), SerialPlace(None, 115_200, rs485=True))


def test_a_device_faster_than_its_baud_rate_says_is_read_without_pauses(tmp_path: Path, pauses: list[float]) -> None:
    """As many USB devices are: the kernel's 4 KiB are full long before 10 ms are over."""
    with PtyDevice(tmp_path / "tty") as device, SerialLine(str(device.path), SerialPlace(None, 115_200)) as line:
        for _ in range(50):
            device.write(b"x" * 4_000)
            wait_until(lambda: waiting(device.path) == 4_000, 30.0, "a full kernel")
            assert line.read(30.0) == b"x" * 4_000
        assert sum(pauses) < 0.015
        for _ in range(50):
            device.write(b"y")
            assert line.read(30.0) == b"y"
        assert pauses[-1] == pytest.approx(0.01)


def test_a_flood_arrives_whole(tmp_path: Path) -> None:
    sent = bytes(range(256)) * 2_000
    with PtyDevice(tmp_path / "tty") as device, SerialLine(str(device.path), SerialPlace(None, 115_200)) as line:
        writer = threading.Thread(target=device.write, args=(sent,))
        writer.start()
        received = b""
        while len(received) < len(sent) and (data := line.read(30.0)):
            received += data
        writer.join()
    assert received == sent


def waiting(path: Path) -> int:
    """Bytes that the kernel holds for the reader of a port."""
    with path.open("rb", buffering=0) as port:
        return int.from_bytes(fcntl.ioctl(port, termios.FIONREAD, bytes(4)), sys.byteorder)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the line would have slept."""
    slept: list[float] = []
    monkeypatch.setattr("agent.sources.serial_line.time", SimpleNamespace(sleep=slept.append))
    return slept
