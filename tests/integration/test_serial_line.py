"""An open line on a real pseudo-terminal: what comes is read in few pieces, what cannot be is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.config.checked import SerialPlace
from agent.errors import LinkError
from agent.sources.serial_line import SerialLine
from tests.harness.pty_device import PtyDevice


def test_what_is_written_arrives_and_what_arrives_is_read(tmp_path: Path) -> None:
    with PtyDevice(tmp_path / "tty") as device, SerialLine(str(device.path), SerialPlace(None, 115_200)) as line:
        line.write(b"\x00\xffSTART\r\n")
        assert device.read(2.0) == b"\x00\xffSTART\r\n"
        device.write(b"\x11\x13\x00\xff")
        assert line.read(2.0) == b"\x11\x13\x00\xff"
        assert line.read(0.05) == b""


def test_a_line_that_streams_is_read_in_pieces_and_not_byte_by_byte(tmp_path: Path) -> None:
    with PtyDevice(tmp_path / "tty") as device, SerialLine(str(device.path), SerialPlace(None, 921_600)) as line:
        device.write(b"x")
        assert line.read(2.0) == b"x"
        for _ in range(50):
            device.write(b"yz")
        assert line.read(2.0) == b"yz" * 50


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
