"""What a USB device says of itself reaches no terminal and no log as anything but plain text."""

from __future__ import annotations

import pytest
from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

from agent.ports.access import access
from agent.ports.listing import system_ports
from agent.ports.table import lines, table


def test_control_characters_in_a_devices_names_do_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    info = ListPortInfo("/dev/null")
    info.vid, info.pid = 0x0403, 0x6001
    info.manufacturer, info.product = "\x1b]0;owned\x07", "\x1b[2J\x1b[H harmless\n/dev/ttyUSB1"
    info.serial_number = "A5\r0285BI\x9b1m"
    monkeypatch.setattr(list_ports, "comports", lambda: [info])
    [port] = system_ports()
    assert (port.usb_serial, port.manufacturer) == ("A5?0285BI?1m", "?]0;owned?")
    shown = list(lines(table([port], access([port.path]), [])))
    assert all(line.isprintable() for line in shown)
    assert sum("/dev/ttyUSB1" in line for line in shown) == 1
    assert not any(line.startswith("/dev/ttyUSB1") for line in shown)


def test_names_in_any_script_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    info = ListPortInfo("/dev/null")
    info.vid, info.pid, info.product = 0x0403, 0x6001, "Fühler 温度 №5"
    monkeypatch.setattr(list_ports, "comports", lambda: [info])
    [port] = system_ports()
    assert (port.product, port.usb_serial) == ("Fühler 温度 №5", None)
