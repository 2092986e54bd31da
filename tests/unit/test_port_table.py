"""`stethos ports` as a pure answer: ports matched with the configuration, and rendered."""

from __future__ import annotations

from agent.ports.identity import Identity, Port
from agent.ports.table import Access, Wanted, document, lines, table

BY_ID = "/dev/serial/by-id/usb-FTDI_FT232R_A50285BI-if00-port0"
FTDI = Port("/dev/ttyUSB0", (BY_ID,), "0403:6001", "A50285BI", "FTDI", "FT232R")
CLONE = Port("/dev/ttyUSB1", (), "1a86:7523", None, None, "USB Serial")
BUILT_IN = Port("/dev/ttyS0")
PORTS = [BUILT_IN, FTDI, CLONE]
ACCESS = {
    "/dev/ttyS0": Access(denied_group="dialout"),
    "/dev/ttyUSB0": Access(holders=("stethos (812)",)),
    "/dev/ttyUSB1": Access(),
}
WANTED = [
    Wanted("accel-7", None, Identity("A50285BI")),
    Wanted("meter", "/dev/ttyUSB1", None),
    Wanted("gone", "/dev/ttyUSB9", None),
    Wanted("swapped", "/dev/ttyUSB1", Identity("Z1", "0403:6001")),
]


def test_each_port_is_shown_with_who_it_is_who_has_it_and_whose_it_is() -> None:
    assert list(lines(table(PORTS, ACCESS, WANTED))) == [
        "/dev/ttyS0  no USB device",
        "    permission denied: join the group 'dialout' (sudo usermod -aG dialout $USER, then log in anew)",
        "/dev/ttyUSB0  0403:6001  serial number A50285BI  FTDI FT232R  -> accel-7",
        f"    {BY_ID}",
        "    open by stethos (812)",
        "/dev/ttyUSB1  1a86:7523  serial number none  USB Serial  -> meter",
        "device gone: there is no /dev/ttyUSB9 now",
        (
            "device swapped: wrong device at /dev/ttyUSB1: it is 1a86:7523, serial number unknown (USB Serial), "
            "wanted is 0403:6001, serial number Z1"
        ),
    ]


def test_a_box_without_ports_says_so() -> None:
    assert list(lines(table([], {}, []))) == ["no serial port"]


def test_a_script_gets_the_same() -> None:
    answer = document(table(PORTS, ACCESS, WANTED))
    assert list(answer["absent"]) == ["gone", "swapped"]
    assert answer["ports"][1] == {
        "path": "/dev/ttyUSB0",
        "links": [BY_ID],
        "vid_pid": "0403:6001",
        "usb_serial": "A50285BI",
        "manufacturer": "FTDI",
        "product": "FT232R",
        "holders": ["stethos (812)"],
        "denied_group": None,
        "devices": ["accel-7"],
    }


def test_two_devices_on_one_port_are_both_shown() -> None:
    both = [Wanted("a", "/dev/ttyUSB1", None), Wanted("b", "/dev/ttyUSB1", None)]
    assert table(PORTS, ACCESS, both).devices == {"/dev/ttyUSB1": ["a", "b"]}
