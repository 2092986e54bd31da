"""The serial source on a real pseudo-terminal: unplugged and replugged, absent at first, fast, and shared by mistake."""

import threading

import serial

from agent.clock import SystemClock
from agent.config.checked import SerialPlace
from agent.decode.decoder import Decoder
from agent.decode.encode import Encoder
from agent.sources.buffer import ChunkBuffer
from agent.sources.serial_port import SerialSource
from tests.harness.broker import wait_until
from tests.harness.profiles import shipped
from tests.harness.pty_device import PtyDevice
from tests.harness.reading import collect, joined, running


def make(path):
    buffer = ChunkBuffer(10_000_000)
    return SerialSource("d", SerialPlace(str(path), 921_600, "none", 1), buffer, SystemClock()), buffer


def test_a_port_is_reopened_each_time_it_comes_back(tmp_path, caplog):
    source, buffer = make(tmp_path / "tty")
    device = PtyDevice(tmp_path / "tty")
    with running(source):
        for round_ in range(1, 4):
            with device:
                wait_until(lambda expected=round_: source.status.opened == expected, 30.0, "opened")
                device.write(b"hello %d" % round_)
                assert joined(collect(buffer, 7), "d") == b"hello %d" % round_
            # The status may say already that the port cannot be opened again; the log keeps each loss.
            wait_until(
                lambda lost=round_: sum("gone" in line for line in caplog.messages) == lost, 30.0, "seen as gone"
            )
            wait_until(lambda: not source.status.is_open, 30.0, "shown as closed")


def test_a_port_that_is_absent_at_the_start_is_waited_for(tmp_path):
    source, buffer = make(tmp_path / "tty")
    with running(source):
        wait_until(lambda: "No such file" in source.status.error, 30.0, "an error that says so")
        with PtyDevice(tmp_path / "tty") as device:
            wait_until(lambda: source.status.is_open, 30.0, "opened")
            device.write(b"late")
            assert joined(collect(buffer, 4), "d") == b"late"


def test_silence_is_no_error(tmp_path):
    source, _ = make(tmp_path / "tty")
    with PtyDevice(tmp_path / "tty"), running(source):
        wait_until(lambda: source.status.is_open, 30.0, "opened")
        assert not threading.Event().wait(1.2)  # more than two read timeouts
        assert source.status.is_open
        assert source.status.error == ""
        assert source.status.opened == 1
        assert source.status.last_arrival_ns == {}


def test_a_port_that_another_program_holds_says_so(tmp_path):
    source, _ = make(tmp_path / "tty")
    with PtyDevice(tmp_path / "tty") as device, serial.Serial(str(device.path), exclusive=True), running(source):
        wait_until(lambda: "lock" in source.status.error, 30.0, "an error that names the lock")
        assert not source.status.is_open


def test_a_device_that_sends_as_fast_as_the_port_takes_loses_nothing(tmp_path):
    profile = shipped("accel3-cobs")
    encoder = Encoder(profile)
    stream = b"".join(encoder.frame([0.1, -0.2, 1.0, 30.0], 0) for _ in range(20_000))
    source, buffer = make(tmp_path / "tty")
    with PtyDevice(tmp_path / "tty") as device, running(source):
        wait_until(lambda: source.status.is_open, 30.0, "opened")
        writer = threading.Thread(target=device.write, args=(stream,))
        writer.start()
        chunks = collect(buffer, len(stream), 60.0)
        writer.join(30.0)
    decoder = Decoder(profile, "d")
    assert len(decoder.feed(chunks)) == 20_000
    assert decoder.counters["lost"] == 0
    assert len(chunks) < 10_000  # gathered, not byte by byte


def test_every_byte_value_passes_unchanged(tmp_path):
    source, buffer = make(tmp_path / "tty")
    with PtyDevice(tmp_path / "tty") as device, running(source):
        wait_until(lambda: source.status.is_open, 30.0, "opened")
        device.write(bytes(range(256)) * 4)
        assert joined(collect(buffer, 1024), "d") == bytes(range(256)) * 4
