"""A port bound by serial number: found wherever it is, refused where another device took its name."""

from __future__ import annotations

import pytest

from agent.errors import LinkError
from agent.ports.identity import Identity, Port, bind, describe

FTDI = Port("/dev/ttyUSB0", (), "0403:6001", "A50285BI", "FTDI", "FT232R USB UART")
OTHER = Port("/dev/ttyUSB1", (), "0403:6001", "B9", "FTDI", "FT232R USB UART")
NAMELESS = Port("/dev/ttyUSB2", (), "1a86:7523", None, None, "USB Serial")
BUILT_IN = Port("/dev/ttyS0")
WANTED = Identity("A50285BI", "0403:6001")


@pytest.mark.parametrize("identity", [WANTED, Identity("A50285BI"), Identity(vid_pid="0403:6001")])
def test_the_right_device_at_its_name_is_opened(identity: Identity) -> None:
    assert bind("/dev/ttyUSB0", identity, [FTDI, BUILT_IN]) == "/dev/ttyUSB0"


def test_without_a_name_the_device_is_found_wherever_it_is() -> None:
    renumbered = Port("/dev/ttyUSB3", (), "0403:6001", "A50285BI")
    assert bind(None, WANTED, [OTHER, NAMELESS, renumbered]) == "/dev/ttyUSB3"


def test_another_device_at_the_name_is_refused_with_both_identities() -> None:
    with pytest.raises(LinkError) as caught:
        bind("/dev/ttyUSB1", WANTED, [OTHER])
    assert str(caught.value) == (
        "wrong device at /dev/ttyUSB1: it is 0403:6001, serial number B9 (FTDI FT232R USB UART), "
        "wanted is 0403:6001, serial number A50285BI"
    )


def test_a_refusal_says_where_the_wanted_device_is_now() -> None:
    with pytest.raises(LinkError, match=r"; the wanted one is at /dev/ttyUSB0 now$"):
        bind("/dev/ttyUSB1", WANTED, [FTDI, OTHER])


@pytest.mark.parametrize(
    ("path", "ports", "what"),
    [
        (None, [OTHER], "no port has the device 0403:6001, serial number A50285BI"),
        (None, [], "no port has the device"),
        ("/dev/ttyUSB9", [OTHER], "/dev/ttyUSB9 is not among the ports, wanted is the device 0403:6001"),
        ("/dev/ttyS0", [BUILT_IN], "wrong device at /dev/ttyS0: it is no USB device, wanted is"),
        ("/dev/ttyUSB2", [NAMELESS], "it is 1a86:7523, serial number unknown (USB Serial), wanted is"),
    ],
)
def test_an_absent_or_nameless_device_is_refused(path: str | None, ports: list[Port], what: str) -> None:
    with pytest.raises(LinkError) as caught:
        bind(path, WANTED, ports)
    assert what in str(caught.value)


def test_the_right_serial_number_on_another_product_is_another_device() -> None:
    with pytest.raises(LinkError, match="no port has"):
        bind(None, WANTED, [Port("/dev/ttyACM0", (), "2341:0043", "A50285BI")])


def test_a_converter_of_several_channels_needs_the_ports_name_too() -> None:
    channels = [Port(f"/dev/ttyUSB{number}", (), "0403:6011", "FT4") for number in range(4)]
    with pytest.raises(LinkError, match=r"has several ports, /dev/ttyUSB0, .*/dev/ttyUSB3: name one with port"):
        bind(None, Identity("FT4"), channels)
    assert bind("/dev/ttyUSB2", Identity("FT4"), channels) == "/dev/ttyUSB2"


def test_a_port_is_described_by_what_it_says_of_itself() -> None:
    assert describe(Port("/dev/ttyUSB0", (), "0403:6001", "X")) == "0403:6001, serial number X"
    assert FTDI.maker == "FTDI FT232R USB UART"
    assert NAMELESS.maker == "USB Serial"
