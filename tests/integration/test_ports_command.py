"""`stethos ports` as a technician calls it: the listing of a configuration, and detection on a real pseudo-terminal."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import serial

from agent.config.profiles import read_profile
from agent.decode.encode import Encoder
from agent.types import Chunk
from tests.harness.agent_folder import ACCEL, AgentFolder
from tests.harness.command_line import stethos
from tests.harness.profiles import shipped
from tests.harness.pty_device import PtyDevice
from tests.harness.threads import at_work


@contextmanager
def sending(device: PtyDevice, data: bytes) -> Iterator[None]:
    """`data` in a circle, at about 50 kB/s, for as long as somebody reads it."""

    def send(stop: threading.Event) -> None:
        position = 0
        while not stop.wait(0.01):
            piece = (data + data)[position : position + 500]
            position = (position + len(piece)) % len(data)
            device.write(piece, stop=stop)

    with device, at_work(send):
        yield


@functools.cache
def accel_stream() -> bytes:
    """Long enough for its counter to come round."""
    encoder = Encoder(shipped("accel3-cobs"))
    values = np.random.default_rng(2).normal([0, 0, 1, 30], 0.1, (65_536, 4))
    return b"".join(encoder.frame(row, 0) for row in values.tolist())[1:]


def test_a_framed_stream_is_recognised_among_all_profiles_with_its_evidence(tmp_path: Path) -> None:
    with sending(PtyDevice(tmp_path / "tty"), accel_stream()):
        result = stethos("ports", "--detect", tmp_path / "tty", "--seconds", 1, "--json")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.output)
    best = answer["fits"][0]
    assert (best["profile"], best["verdict"]) == ("accel3-cobs", "certain")
    assert "sequence unbroken" in best["evidence"]
    assert best["baud"] == answer["heard"][-1]["baud"]


def test_noise_between_the_frames_leaves_the_choice_and_lowers_the_confidence(tmp_path: Path) -> None:
    data = bytearray(accel_stream())
    random = np.random.default_rng(4)
    for position in random.integers(0, len(data), len(data) // 400):
        data[position] = int(random.integers(256))
    with sending(PtyDevice(tmp_path / "tty"), bytes(data)):
        result = stethos("ports", "--detect", tmp_path / "tty", "--seconds", 0.5, "--profile", "accel3-cobs", "--json")
    [best, *_] = json.loads(result.output)["fits"]
    assert 0.5 < best["confidence"] < 0.99


def test_two_like_profiles_are_told_apart_by_what_differs_or_said_to_be_alike(tmp_path: Path) -> None:
    agent = AgentFolder(tmp_path)
    agent.profile("alike", ACCEL.replace("0.001", "0.002"))
    agent.profile(
        "moved",
        ACCEL.replace('name = "n", type = "u16"', 'name = "q", type = "u16"')
        .replace('name = "temp", type = "i16"', 'name = "n", type = "u16"')
        .replace('{ name = "temp", unit = "Cel", scale = 0.1 }', '{ name = "temp", field = "q", unit = "Cel" }'),
    )
    encoder = Encoder(read_profile("accel-cobs", tmp_path))
    values = np.random.default_rng(2).normal([0, 1, 25], 0.1, (65_536, 3))
    stream = b"".join(encoder.frame(row, 0) for row in values.tolist())[1:]
    names = [word for name in ("moved", "alike", "accel-cobs") for word in ("--profile", name)]
    with sending(PtyDevice(tmp_path / "tty"), stream):
        result = stethos("ports", "--config", agent.config, "--detect", tmp_path / "tty", "--seconds", 1, *names)
    assert result.exit_code == 0
    first, second, *_ = result.output.splitlines()
    assert first.startswith("accel-cobs at 230400: certain")
    assert second == "  the bytes fit alike as well: the device's label must decide"
    assert "moved" not in result.output


def test_what_no_profile_explains_is_shown_as_it_came(tmp_path: Path) -> None:
    with sending(PtyDevice(tmp_path / "tty"), b"Hello from no sensor at all! "):
        result = stethos("ports", "--detect", tmp_path / "tty", "--seconds", 0.2, "--profile", "accel3-cobs")
    assert result.exit_code == 1
    assert "nothing fits" in result.output
    assert "100% of them printable" in result.output
    assert "48 65 6c 6c 6f" in result.output or "from no" in result.output


def hears_parity(heard: list[tuple[int, str]], sound: str):
    """A pseudo-terminal has no parity: a line that gives sound frames at one baud rate and parity, and garbled ones at any other."""

    def listen(path, place, seconds, clock, progress):
        heard.append((place.baud, place.parity))
        data = accel_stream()[:20_000]
        right = (place.baud, place.parity) == (115_200, sound)
        return [Chunk(path, data if right else bytes(byte & 0x7F for byte in data), 0)]

    return listen


@pytest.mark.parametrize("sound", ["none", "even"])
def test_even_parity_is_tried_only_where_nothing_fits_without(monkeypatch: pytest.MonkeyPatch, sound: str) -> None:
    heard: list[tuple[int, str]] = []
    monkeypatch.setattr("agent.cli.detect.listen", hears_parity(heard, sound))
    result = stethos("ports", "--detect", "tty", "--profile", "accel3-cobs")
    line = ", even parity" if sound == "even" else ""
    assert result.output.startswith(f"accel3-cobs at 115200{line}: certain")
    assert {parity for _, parity in heard} == {"none", sound}
    assert heard[-1] == (115_200, sound)
    answer = json.loads(stethos("ports", "--detect", "tty", "--profile", "accel3-cobs", "--json").output)
    assert answer["parity"] == sound


def test_a_silent_port_is_said_to_be_silent(tmp_path: Path) -> None:
    with PtyDevice(tmp_path / "tty"):
        result = stethos("ports", "--detect", tmp_path / "tty", "--seconds", 0.1, "--profile", "accel3-cobs")
    assert result.exit_code == 1
    assert f"{tmp_path / 'tty'} was silent at 921600, 115200" in result.output


@pytest.mark.parametrize(
    ("arguments", "code", "what"),
    [
        (["--detect", "nowhere"], 1, "cannot open nowhere"),
        (["--detect", "nowhere", "--profile", "accel3-cosb"], 2, "did you mean 'accel3-cobs'?"),
        (["--detect", "nowhere", "--profile", "drive-json"], 2, "the profile 'drive-json' speaks over mqtt"),
        (["--config", "nowhere.toml"], 2, "cannot read nowhere.toml"),
    ],
)
def test_what_cannot_be_done_is_said(arguments: list[str], code: int, what: str) -> None:
    result = stethos("ports", *arguments)
    assert (result.exit_code, what in result.output) == (code, True), result.output


def test_the_ports_of_a_configuration_are_listed_with_their_devices_and_holders(tmp_path: Path) -> None:
    agent = AgentFolder(tmp_path)
    (tmp_path / "ttyACCEL").unlink()
    with PtyDevice(tmp_path / "ttyACCEL") as device, serial.Serial(str(device.path)):
        answer = json.loads(stethos("ports", "--config", agent.config, "--json").output)
        text = stethos("ports", "--config", agent.config).output
        tty = device.tty
    [port] = [port for port in answer["ports"] if port["path"] == tty]
    assert port["devices"] == ["accel"]
    assert any("(" in holder for holder in port["holders"])
    assert f"{tty}  no USB device  -> accel" in text
    absent = json.loads(stethos("ports", "--config", agent.config, "--json").output)["absent"]
    assert absent == {"accel": f"there is no {tmp_path / 'ttyACCEL'} now"}
