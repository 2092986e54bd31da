"""Starting a device up over a real pseudo-terminal: answers that are right, wrong, late and absent, and a device that reboots."""

from __future__ import annotations

import itertools

import pytest

from agent.clock import SystemClock
from agent.config.checked import SerialPlace
from agent.decode.schema import StartupCommand
from agent.decode.startup import StartUp
from agent.sources.buffer import ChunkBuffer
from agent.sources.serial_port import SerialSource
from tests.harness.broker import wait_until
from tests.harness.reading import collect, joined, running
from tests.harness.scripted_device import ScriptedDevice

# Answers that come at once are given the time that a loaded machine takes; only those that do not come are waited for.
RANGE = StartupCommand(send="RANGE 4\n", expect="OK RANGE\r\n", timeout_s=30.0)
START = StartupCommand(send="START\n", expect="OK START\r\n", timeout_s=30.0)
IMPATIENT = StartupCommand(send="START\n", expect="OK START\r\n", timeout_s=1.0)


def source_of(device: ScriptedDevice, *commands: StartupCommand, silent_after_s: float = 60.0):
    buffer = ChunkBuffer(1_000_000)
    startup = StartUp(commands, silent_after_s)
    place = SerialPlace(str(device.port.path), 115_200)
    return SerialSource("d", place, buffer, SystemClock(), startup=startup), buffer


def test_commands_are_sent_in_order_and_what_follows_the_last_answer_is_data(tmp_path):
    script = {b"RANGE 4": lambda: b"OK RANGE\r\n", b"START": lambda: b"OK START\r\n1,2\n"}
    with ScriptedDevice(tmp_path / "tty", script) as device:
        source, buffer = source_of(device, RANGE, START)
        with running(source):
            wait_until(lambda: source.status.is_open, 30.0, "started")
            device.port.write(b"3,4\n")
            assert joined(collect(buffer, 8), "d") == b"1,2\n3,4\n"
        assert device.commands == [b"RANGE 4", b"START"]
        assert source.status.counters.snapshot() == {
            "startup_bytes": len(b"OK RANGE\r\nOK START\r\n"),
            "startup_retries": 0,
            "startups": 1,
        }


def test_what_a_device_streams_before_it_was_set_up_is_counted_and_no_data(tmp_path):
    script = {b"RANGE 4": lambda: b"OK RANGE\r\n", b"START": lambda: b"OK START\r\n"}
    with ScriptedDevice(tmp_path / "tty", script, stream=lambda: b"9,9\n") as device:
        device.streams = True
        source, buffer = source_of(device, RANGE, START)
        with running(source):
            wait_until(lambda: source.status.is_open, 30.0, "started")
            assert joined(collect(buffer, 40), "d").replace(b"9,9\n", b"") == b""
        assert source.status.counters["startup_bytes"] >= len(b"OK RANGE\r\nOK START\r\n")


@pytest.mark.parametrize(
    ("answer", "came"), [(lambda: b"ERR 5\r\n", r"instead came 'ERR 5\r\nERR 5\r\n'"), (lambda: b"", "nothing came")]
)
def test_a_wrong_or_absent_answer_is_an_error_that_names_the_command_and_what_came(tmp_path, answer, came):
    with ScriptedDevice(tmp_path / "tty", {b"START": answer}) as device:
        source, _ = source_of(device, StartupCommand(send="START\n", expect="OK", timeout_s=0.1, retries=1))
        with running(source):
            told = f"the start-up command 'START\\n' was not answered by 'OK' in 2 tries: {came}"
            wait_until(lambda: source.status.error == told, 30.0, "an error")
            assert not source.status.is_open
            assert device.commands[:2] == [b"START", b"START"]


def test_a_late_answer_is_taken_by_the_next_try(tmp_path):
    tries = itertools.count(1)
    with ScriptedDevice(tmp_path / "tty", {b"START": lambda: b"OK START\r\n" if next(tries) == 2 else b""}) as device:
        source, _ = source_of(device, IMPATIENT)
        with running(source):
            wait_until(lambda: source.status.is_open, 30.0, "started")
        assert source.status.counters["startup_retries"] == 1


def test_a_device_that_answers_again_later_is_opened_then(tmp_path):
    answers = {b"START": lambda: b""}
    with ScriptedDevice(tmp_path / "tty", answers) as device:
        source, _ = source_of(device, StartupCommand(send="START\n", expect="OK", timeout_s=0.1, retries=0))
        with running(source):
            wait_until(lambda: "nothing came" in source.status.error, 30.0, "an error")
            answers[b"START"] = lambda: b"OK\r\n"
            wait_until(lambda: source.status.is_open, 30.0, "started")


def test_a_command_without_an_expected_answer_is_sent_and_not_waited_for(tmp_path):
    with ScriptedDevice(tmp_path / "tty", {b"START": lambda: b"1,2\n"}) as device:
        source, buffer = source_of(device, StartupCommand(send_hex="53 54 41 52 54 0a"))
        with running(source):
            assert joined(collect(buffer, 4), "d") == b"1,2\n"


def test_a_device_that_reboots_in_the_midst_of_its_stream_is_started_again(tmp_path):
    with ScriptedDevice(tmp_path / "tty", {}, stream=lambda: b"1,2\n") as device:

        def start() -> bytes:
            device.streams = True
            return b"OK START\r\n"

        device._script = {b"START": start}
        source, buffer = source_of(device, START, silent_after_s=1.5)
        with running(source):
            collect(buffer, 40)
            device.streams = False  # it lost power, and waits to be told again
            wait_until(lambda: source.status.counters["startups"] == 2, 30.0, "told again")
            buffer.take(0.0)
            collect(buffer, 40)
            assert source.status.opened == 1  # the port was there all the time
        assert device.commands == [b"START", b"START"]


def test_a_device_that_dies_for_good_is_an_error_of_its_start_up_and_not_of_its_port(tmp_path):
    alive = [True]
    script = {b"START": lambda: b"OK START\r\n" if alive[0] else b""}
    with ScriptedDevice(tmp_path / "tty", script) as device:
        source, _ = source_of(device, IMPATIENT, silent_after_s=0.5)
        with running(source):
            wait_until(lambda: source.status.is_open, 30.0, "started")
            alive[0] = False
            wait_until(lambda: "was not answered" in source.status.error, 30.0, "an error")
            assert "gone" not in source.status.error


def test_a_stop_does_not_wait_for_an_answer(tmp_path):
    with ScriptedDevice(tmp_path / "tty", {}) as device:
        source, _ = source_of(device, StartupCommand(send="START\n", expect="OK", timeout_s=30.0))
        with running(source):  # which checks that it stops within three seconds
            wait_until(lambda: device.commands == [b"START"], 30.0, "the command")
