"""The udev rules on made-up USB devices: udevadm reads a tree of files in the place of /sys, laid out as the kernel lays it out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.systemd.box import Box

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

_TREE = "/root/sys"
_HOST = "devices/pci0000:00/0000:00:14.0/usb1/1-2"
FTDI, PURE_ACM, MODEM = [(0xFF, 0xFF, 0xFF)], [(2, 2, 1), (10, 0, 0)], [(2, 2, 1), (10, 0, 0), (2, 14, 0)]


def write(folder: Path, subsystem: str, **attributes: str) -> None:
    """A device of the tree; `uevent` and the links that udev follows are among its files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in {"uevent": "", **attributes}.items():
        (folder / name).write_text(f"{value}\n")
    (folder / "subsystem").symlink_to(f"/sys/{subsystem}")


def plug(
    box: Box,
    name: str,
    serial: str,
    interfaces: list[tuple[int, int, int]],
    *,
    number: int = 0,
    driver: str = "cdc_acm",
    port: str = "",
) -> dict[str, str]:
    """What udev makes of the serial port `name` on the USB interface `number`: its properties."""
    box.system.run("rm", "-rf", _TREE)
    tree = box.file(_TREE)
    usb = tree / _HOST
    write(tree / "devices/pci0000:00/0000:00:14.0", "bus/pci")
    write(
        usb,
        "bus/usb",
        uevent="DEVTYPE=usb_device",
        idVendor="0403",
        idProduct="6001",
        bcdDevice="0600",
        product="Adapter",
        serial=serial,
    )
    endpoint = bytes([7, 5]) + bytes(5)
    descriptors = [bytes([9, 4, index, 0, 1, *kind, 0]) + endpoint for index, kind in enumerate(interfaces)]
    (usb / "descriptors").write_bytes(b"".join([bytes([18, 1]) + bytes(16), bytes([9, 2]) + bytes(7), *descriptors]))
    kinds = dict(
        zip(
            ("bInterfaceClass", "bInterfaceSubClass", "bInterfaceProtocol"),
            (f"{byte:02x}" for byte in interfaces[0]),
            strict=True,
        )
    )
    node = usb / f"1-2:1.{number}"
    write(node, "bus/usb", uevent=f"DEVTYPE=usb_interface\nDRIVER={driver}", bInterfaceNumber=f"{number:02x}", **kinds)
    if port:
        node /= name
        write(node, "bus/usb-serial", uevent=f"DRIVER={driver}", port_number=port)
    (tree / "drivers" / driver).mkdir(parents=True)
    (node / "driver").symlink_to(f"/sys/drivers/{driver}")
    node = node / "tty" / name
    write(node, "class/tty", uevent=f"MAJOR=188\nMINOR=0\nDEVNAME={name}", dev="188:0")
    for folder in ("bus/usb", "bus/pci", "bus/usb-serial", "class/tty"):
        (tree / folder).mkdir(parents=True, exist_ok=True)
    script = f"mount --bind {_TREE} /sys && SYSTEMD_DEVICE_VERIFY_SYSFS=0 udevadm test --action=add /sys/{node.relative_to(tree)}"
    told = box.system.run("unshare", "--mount", "sh", "-c", script).stdout
    return dict(line.split("=", 1) for line in told.splitlines() if "=" in line)


def names(properties: dict[str, str]) -> list[str]:
    links = properties.get("DEVLINKS", "").split()
    return [link.removeprefix("/dev/stethos/") for link in links if link.startswith("/dev/stethos/")]


def test_a_converter_is_named_by_its_serial_number(box: Box) -> None:
    found = plug(box, "ttyUSB0", "A50285BI", FTDI, driver="ftdi_sio", port="0")
    assert names(found) == ["A50285BI"]


@pytest.mark.parametrize(("number", "port", "name"), [(2, "0", "FT4-if02"), (0, "3", "FT4-port3"), (0, "0", "FT4")])
def test_the_ports_of_one_device_have_names_of_their_own(box: Box, number: int, port: str, name: str) -> None:
    assert names(plug(box, "ttyUSB2", "FT4", FTDI, number=number, driver="ftdi_sio", port=port)) == [name]


@pytest.mark.parametrize("serial", ["", "..", "../../etc/passwd"])
def test_a_number_that_is_none_makes_no_name(box: Box, serial: str) -> None:
    assert names(plug(box, "ttyUSB0", serial, FTDI, driver="ftdi_sio", port="0")) == []


@pytest.mark.parametrize(
    ("name", "interfaces", "driver", "port", "ignored"),
    [
        ("ttyUSB0", FTDI, "ftdi_sio", "0", True),
        ("ttyUSB0", FTDI, "ch341-uart", "0", True),
        ("ttyUSB0", FTDI, "option1", "0", False),
        ("ttyACM0", PURE_ACM, "cdc_acm", "", True),
        ("ttyACM0", MODEM, "cdc_acm", "", False),
    ],
)
def test_modem_manager_is_kept_off_sensors_and_not_off_modems(
    box: Box, name: str, interfaces: list[tuple[int, int, int]], driver: str, port: str, ignored: bool
) -> None:
    found = plug(box, name, "S1", interfaces, driver=driver, port=port)
    assert names(found) == ["S1"]
    assert (found.get("ID_MM_PORT_IGNORE") == "1") is ignored
