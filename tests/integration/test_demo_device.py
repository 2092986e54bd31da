"""The simulated device is a serial port: bytes pass unchanged, at the asked pace, and a port that nobody reads is an error."""

import threading

import pytest
import serial

from agent.demo import device as device_module
from agent.demo.device import SimulatedDevice
from agent.errors import LinkError

EVERY_BYTE = bytes(range(256))


def test_every_byte_value_passes_unchanged_through_the_port():
    frames = [EVERY_BYTE] * 40
    with SimulatedDevice() as device, serial.Serial(device.port, 115200, timeout=30.0) as port:
        received = []
        reader = threading.Thread(target=lambda: received.append(port.read(len(EVERY_BYTE) * len(frames))))
        reader.start()
        counts = list(device.send(frames, frames_per_s=2000.0))
        reader.join(30.0)
    assert counts == list(range(1, 41))
    assert received == [EVERY_BYTE * 40]


def test_bytes_sent_before_the_port_is_opened_do_not_block():
    with SimulatedDevice() as device:
        assert list(device.send([b"early"], frames_per_s=1000.0)) == [1]


def test_a_port_that_nobody_reads_is_an_error(monkeypatch):
    monkeypatch.setattr(device_module, "_STUCK_AFTER_S", 0.1)
    with SimulatedDevice() as device, pytest.raises(LinkError, match="nobody read"):
        list(device.send([EVERY_BYTE] * 1000, frames_per_s=1e6))


def test_leaving_the_context_unplugs_the_port():
    with SimulatedDevice() as device:
        port = serial.Serial(device.port, 115200, timeout=0.2)
    with port, pytest.raises(serial.SerialException):
        port.read(1)
