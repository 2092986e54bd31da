"""`stethos init` as a technician uses it: by options alone, and by its questions over a real terminal."""

from __future__ import annotations

import os
import pty
import select
import stat
import subprocess
import time
from pathlib import Path
from typing import Self

import pytest
from click.testing import Result

from agent.config.check import check
from agent.config.first_file import candidates, lasting_name
from agent.infer.keys import public_pem
from agent.ports.identity import Port
from tests.harness.agent_folder import KEY, contract, energy_bundle
from tests.harness.command_line import STETHOS, stethos
from tests.harness.pty_device import PtyDevice
from tests.integration.test_ports_command import accel_stream, sending

CONTRACT = contract(("x", "[g]"), ("y", "[g]"), ("z", "[g]"))
ADAPTER = Port("/dev/ttyUSB0", ("/dev/serial/by-id/usb-A", "/dev/serial/by-path/pci-1"), "0403:6001", "A50285BI")


class Bag:
    """What a technician brings: a bundle and its key, in a folder that is not the agent's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "bag"
        self.folder.mkdir()
        self.config = folder / "etc" / "agent.toml"
        (self.folder / "pump.stethos").write_bytes(energy_bundle(CONTRACT))
        (self.folder / "plant.pub").write_bytes(public_pem(KEY.public_key()))
        self.options = ["--bundle", str(self.folder / "pump.stethos"), "--key", str(self.folder / "plant.pub")]

    def init(self, *options: str, stdin: str | None = None) -> Result:
        return stethos("init", self.config, *self.options, *options, input=stdin)


@pytest.fixture
def bag(tmp_path: Path) -> Bag:
    return Bag(tmp_path)


SERIAL = ("--device", "id=accel-7,profile=accel3-cobs,port=/dev/ttyUSB7,baud=460800")
LOCAL = ("--broker", "mqtt://localhost")


def test_options_alone_make_a_configuration_that_the_check_accepts(bag: Bag) -> None:
    login = ("--username", "line-3", "--password-file", "-")
    result = bag.init(
        "--agent", "line-3", *SERIAL, *LOCAL, *login, "--false-alarms", "2 per year", stdin="correct horse\n"
    )
    assert result.exit_code == 0, result.output
    checked = check(bag.config)
    assert (checked.config.agent.id, checked.machines["pump"].config.false_alarms) == ("line-3", "2 per year")
    assert checked.config.machine[0].channels == ["accel-7.x", "accel-7.y", "accel-7.z"]
    assert checked.devices["accel-7"].place.baud == 460_800
    assert checked.upstream.password == "correct horse"
    assert "correct horse" not in bag.config.read_text() + result.output
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in bag.config.parent.iterdir()}
    assert modes == {"agent.toml": 0o644, "plant.pub": 0o644, "pump.stethos": 0o644, "mqtt-password": 0o600}


@pytest.mark.parametrize(
    ("device", "place"),
    [
        (
            "id=d,profile=shelly-3em,broker=mqtt://localhost,topic=plant/+",
            "d: shelly-3em from mqtt://localhost plant/+",
        ),
        ("id=d,profile=eastron-sdm630,host=10.0.0.7,unit=3", "d: eastron-sdm630 from 10.0.0.7:502 unit 3"),
        ("id=d,profile=accel3-cobs,usb_serial=A50285BI", "d: accel3-cobs from the port of A50285BI"),
    ],
)
def test_devices_of_every_transport_can_be_named(bag: Bag, device: str, place: str) -> None:
    result = bag.init(*SERIAL, "--device", device, *LOCAL, "--channels", "accel-7.x,accel-7.y,accel-7.z")
    assert result.exit_code == 0, result.output
    assert place in stethos("check", bag.config).output


def test_nothing_that_is_there_is_replaced_unasked(bag: Bag) -> None:
    assert bag.init(*SERIAL, *LOCAL).exit_code == 0
    before = bag.config.read_bytes()
    again = bag.init("--agent", "another", *SERIAL, *LOCAL)
    assert (again.exit_code, bag.config.read_bytes()) == (2, before)
    assert "is there already (--force replaces it)" in again.stderr
    bag.config.unlink()
    (bag.config.parent / "plant.pub").write_text("somebody else's")
    assert "plant.pub: is there already" in bag.init(*SERIAL, *LOCAL).stderr
    assert bag.init("--agent", "another", *SERIAL, *LOCAL, "--force").exit_code == 0
    assert check(bag.config).config.agent.id == "another"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "give --device, --broker, or run it on a terminal"),
        (
            (*SERIAL, "--broker", "mqtt://far.away"),
            "upstream.broker: mqtt:// to far.away leaves this machine unencrypted",
        ),
        (
            (*LOCAL, "--device", "profile=acel3-cobs,port=/dev/ttyUSB0"),
            "no profile 'acel3-cobs' (did you mean 'accel3-cobs'?)",
        ),
        ((*LOCAL, "--device", "profile=accel3-cobs,topic=x"), "a device on serial has no 'topic'"),
        ((*LOCAL, "--device", "profile=accel3-cobs,port=/dev/x,baud=fast"), "Expected `int"),
        ((*LOCAL, "--device", "accel"), "'accel' is no KEY=VALUE"),
        (
            (*LOCAL, "--device", "profile=drive-json,broker=mqtt://localhost,topic=x"),
            "'x' may be no channel of the devices",
        ),
        ((*LOCAL, *SERIAL, "--device", "profile=accel3-cobs,port=/dev/x"), "'x' may be accel-7.x or accel3-cobs.x"),
        ((*LOCAL, "--device", "id=a b,profile=accel3-cobs,port=/dev/x"), "device[0].id"),
    ],
)
def test_what_is_wrong_is_told_and_nothing_is_written(bag: Bag, options: tuple[str, ...], said: str) -> None:
    result = bag.init(*options)
    assert result.exit_code == 2
    assert said in result.stderr
    assert ".init-" not in result.stderr
    assert not bag.config.parent.exists() or list(bag.config.parent.iterdir()) == []


def test_a_bundle_that_nobody_signed_is_refused(bag: Bag) -> None:
    (bag.folder / "plant.pub").write_text("-----BEGIN PUBLIC KEY-----\n")
    result = bag.init(*SERIAL, *LOCAL)
    assert (result.exit_code, list(bag.config.parent.iterdir())) == (2, [])


def test_a_port_is_bound_by_the_most_lasting_name_that_it_has() -> None:
    twin = Port("/dev/ttyUSB1", ("/dev/serial/by-id/usb-A-port1", "/dev/serial/by-path/pci-2"), "0403:6001", "A50285BI")
    bare = Port("/dev/ttyS0")
    assert lasting_name("/dev/ttyUSB0", [ADAPTER, bare]) == {"usb_serial": "A50285BI"}
    assert lasting_name("/dev/serial/by-id/usb-A", [ADAPTER, bare]) == {"usb_serial": "A50285BI"}
    assert lasting_name("/dev/ttyUSB0", [ADAPTER, twin]) == {"port": "/dev/serial/by-path/pci-1"}
    assert lasting_name("/dev/ttyS0", [ADAPTER, bare]) == {"port": "/dev/ttyS0"}
    assert lasting_name("/dev/ttyUSB9", [ADAPTER]) == {"port": "/dev/ttyUSB9"}


def test_a_name_of_the_contract_means_one_channel_or_several() -> None:
    channels = {"a": ["x", "t"], "b": ["t"]}
    assert candidates("x", channels) == ["a.x"]
    assert candidates("t", channels) == ["a.t", "b.t"]
    assert candidates("b.t", channels) == ["b.t"]
    assert candidates("z", channels) == []


class Terminal:
    """The program on a terminal of its own, and a technician who reads before he types."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._ours, theirs = pty.openpty()
        self._process = subprocess.Popen(
            [*STETHOS, "init", *arguments],
            cwd=folder,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self.shown = ""
        self._read_to = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(60)
        os.close(self._ours)

    def talk(self, *dialogue: tuple[str, str], timeout_s: float = 60.0) -> None:
        """Of each pair, type the second and Enter once the first is shown; raises AssertionError where it is not."""
        for question, text in dialogue:
            self._answer(question, text, timeout_s)

    def _answer(self, question: str, text: str, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while (found := self.shown.find(question, self._read_to)) < 0:
            assert self._more(deadline), f"no {question!r} in:\n{self.shown}"
        self._read_to = found + len(question)
        os.write(self._ours, f"{text}\n".encode())

    def end(self, timeout_s: float = 60.0) -> int:
        """The exit code, once it has said all."""
        deadline = time.monotonic() + timeout_s
        while self._more(deadline):
            pass
        return self._process.wait(max(0.1, deadline - time.monotonic()))

    def _more(self, deadline: float) -> bool:
        if not select.select([self._ours], [], [], max(0.0, deadline - time.monotonic()))[0]:
            return False
        try:
            data = os.read(self._ours, 4096)
        except OSError:  # how a terminal says that the program has closed it
            return False
        self.shown += data.decode()
        return bool(data)


def test_its_questions_lead_to_a_configuration_and_find_the_profile_by_listening(bag: Bag, tmp_path: Path) -> None:
    port = tmp_path / "tty"
    with (
        sending(PtyDevice(port), accel_stream()),
        Terminal(bag.folder, str(bag.config), "--seconds", "0.5") as terminal,
    ):
        terminal.talk(
            ("Name of this box", "line 3"),
            ("Name of this box", "line-3"),  # the blank was refused
            ("Model of the machine (file) [pump.stethos]", ""),
            ("Public key of whoever signed it (file) [plant.pub]", ""),
            ("Name of the machine [pump]", "pump-1"),
            ("Where is the sensor?", str(port)),
            ("Listen to it to find its profile?", "y"),
        )
        terminal.talk(("Its profile [accel3-cobs]", ""))
        terminal.talk(
            ("Name of this device [accel3-cobs]", "accel-7"),
            ("Another device?", ""),
            ("False alarms that are accepted [1 per month]", ""),
            ("Broker that alarms go to", "mqtt://plant.example"),
            ("Accept that?", "y"),
            ("User name there", "line-3"),
            ("Password", "correct horse"),
            ("Repeat for confirmation", "correct horse"),
        )
        assert terminal.end() == 0, terminal.shown
    assert "correct horse" not in terminal.shown
    checked = check(bag.config)
    assert checked.config.machine[0].channels == ["accel-7.x", "accel-7.y", "accel-7.z"]
    assert (checked.config.upstream.broker, checked.upstream.password) == ("mqtt://plant.example", "correct horse")
    assert checked.devices["accel-7"].config.profile == "accel3-cobs"


def test_channels_that_names_do_not_tell_are_asked_for(bag: Bag) -> None:
    options = [
        *bag.options,
        *SERIAL,
        "--device",
        "id=b,profile=accel3-cobs,port=/dev/ttyUSB8",
        *LOCAL,
        "--username",
        "u",
    ]
    password = bag.folder / "password"
    password.write_text("p")
    with Terminal(bag.folder, str(bag.config), *options, "--password-file", str(password)) as terminal:
        terminal.talk(
            ("Name of this box", ""),
            ("Name of the machine", ""),
            ("Which channel is x?", "b.x"),
            ("Which channel is y?", "accel-7.y"),
            ("Which channel is z?", "b.z"),
            ("False alarms", ""),
        )
        assert terminal.end() == 0, terminal.shown
    assert check(bag.config).config.machine[0].channels == ["b.x", "accel-7.y", "b.z"]
