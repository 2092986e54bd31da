"""The thread of responses, with real programs, a real broker and a real line: nothing that hangs or fails holds up who asks."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.clock import SystemClock
from agent.config.checked import SerialPlace
from agent.decide.alarm import AlarmEvent
from agent.decide.responses import Interlocks
from agent.decode.schema import StartupCommand
from agent.errors import OutboxError
from agent.respond.actions import Action, Publish, Tell
from agent.respond.program import Program
from agent.respond.responder import MAX_WAITING, STATE, Doing, Responder
from agent.sources.buffer import ChunkBuffer
from agent.sources.serial_port import SerialSource
from agent.types import Commit
from tests.harness.alarms import alarm, response_rules
from tests.harness.broker import Broker, Subscriber, wait_until
from tests.harness.link import Sink, running_link, settings_for
from tests.harness.pty_device import PtyDevice
from tests.harness.threads import at_work


def event(**fields: object) -> AlarmEvent:
    return AlarmEvent(key="k", type="new", revision=1, before=None, after=alarm(**fields))


class Desk:
    """A responder that does one thing, and the commits that it made."""

    def __init__(
        self,
        action: Action,
        *,
        timeout_s: float = 5.0,
        submit: Callable[[Commit, float], None] | None = None,
        **rules: object,
    ) -> None:
        self.commits: list[Commit] = []
        changed = response_rules(**rules)
        self.responder = Responder(
            Interlocks([changed]),
            {changed.id: Doing(action, timeout_s)},
            submit or (lambda commit, _: self.commits.append(commit)),
            msgspec.json.encode,
            SystemClock(),
        )

    @contextmanager
    def running(self) -> Iterator[Responder]:
        with at_work(self.responder.run):
            yield self.responder

    @property
    def records(self) -> list[dict[str, Any]]:
        """What went into the journal."""
        return [json.loads(entry) for commit in self.commits for entry in commit.journal]

    def answered(self) -> dict[str, Any]:
        """The record of one alarm that is put to it."""
        with self.running() as responder:
            responder.put(event())
            (record,) = self.wait(1)
        return record

    def wait(self, count: int) -> list[dict[str, Any]]:
        wait_until(lambda: len(self.records) >= count, 30, f"{count} records, got {self.records}")
        return self.records


def script(folder: Path, body: str) -> Program:
    programs = folder / "programs"
    programs.mkdir(mode=0o755, exist_ok=True)
    (programs / "act.sh").write_text(f"#!/bin/sh\n{body}\n")
    (programs / "act.sh").chmod(0o755)
    return Program(programs, "act.sh", ())


class TestPrograms:
    def test_an_alarm_starts_one_and_the_journal_has_it(self, tmp_path: Path) -> None:
        desk = Desk(script(tmp_path, f"cat > {tmp_path}/given; echo pump stopped"))
        record = desk.answered()
        assert json.loads((tmp_path / "given").read_text())["machine"] == "pump"
        assert {name: record[name] for name in ("kind", "response", "outcome", "on", "what", "told")} == {
            "kind": "response",
            "response": "pump.stop",
            "outcome": "done",
            "on": "raised",
            "what": "act.sh",
            "told": "pump stopped",
        }
        assert record["alarm"] == event().after.id
        assert STATE in desk.commits[0].state, "when it was done outlives a restart"

    @pytest.mark.parametrize(("rules", "outcome"), [({"armed": False}, "disarmed"), ({"dry_run": True}, "dry_run")])
    def test_what_must_not_be_done_is_not_done_and_recorded(self, tmp_path: Path, rules, outcome) -> None:
        desk = Desk(script(tmp_path, f"touch {tmp_path}/done"), **rules)
        assert desk.answered()["outcome"] == outcome
        assert not (tmp_path / "done").exists()

    def test_an_alarm_that_is_over_before_it_was_confirmed_starts_nothing(self, tmp_path: Path) -> None:
        desk = Desk(script(tmp_path, f"touch {tmp_path}/done"), confirm_ns=2_000_000_000)
        with desk.running() as responder:
            responder.put(event())
            over = alarm(cleared_ns=1, ended_ns=1)
            responder.put(AlarmEvent(key="k2", type="end", revision=2, before=alarm(), after=over))
            assert desk.wait(1)[0]["outcome"] == "unconfirmed"
        assert not (tmp_path / "done").exists()

    def test_a_program_changed_behind_our_back_is_not_started(self, tmp_path: Path) -> None:
        action = script(tmp_path, f"touch {tmp_path}/done")
        (tmp_path / "programs").chmod(0o777)
        desk = Desk(action)
        record = desk.answered()
        assert (record["outcome"], "written by others" in record["told"]) == ("failed", True)
        assert not (tmp_path / "done").exists()

    def test_one_that_hangs_is_ended_and_the_next_alarm_is_answered(self, tmp_path: Path) -> None:
        desk = Desk(script(tmp_path, "grep -q hanging && sleep 60; exit 0"), timeout_s=2.0)
        with desk.running() as responder:
            responder.put(event(id="hanging"))
            responder.put(event(id="second"))
            assert [record["outcome"] for record in desk.wait(2)] == ["timed_out", "done"]

    def test_whoever_asks_never_waits_and_what_is_too_much_is_counted(self, tmp_path: Path) -> None:
        desk = Desk(script(tmp_path, f"touch {tmp_path}/begun; sleep 60"), timeout_s=30.0)
        with desk.running() as responder:
            responder.put(event())
            wait_until((tmp_path / "begun").exists, 30, "the program's start")
            began = time.monotonic()
            for number in range(3 * MAX_WAITING):
                responder.put(event(id=str(number)))
            assert time.monotonic() - began < 2
            assert responder.dropped > 0
            began = time.monotonic()
        assert time.monotonic() - began < 3, "a stop does not wait for the program either"
        assert desk.records[0]["outcome"] == "timed_out"

    def test_a_full_disk_keeps_the_record_away_not_the_response(self, tmp_path: Path) -> None:
        def refuse(_commit: Commit, _timeout_s: float) -> None:
            raise OutboxError("the disk is full")

        desk = Desk(script(tmp_path, f"touch {tmp_path}/done"), submit=refuse)
        with desk.running() as responder:
            responder.put(event())
            wait_until(lambda: responder.counters["unrecorded"] == 1, 30, "the count")
        assert (tmp_path / "done").exists()

    def test_a_stop_before_it_was_confirmed_is_told(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        desk = Desk(script(tmp_path, "true"), confirm_ns=60 * 10**9)
        with desk.running() as responder:
            responder.put(event())
            wait_until(lambda: responder._interlocks.waiting == 1, 30, "a response that waits")
        assert "1 responses that waited are not done" in caplog.text


class TestBroker:
    def test_a_message_is_done_when_the_broker_has_it(self, tmp_path: Path) -> None:
        with Broker(tmp_path) as broker, Subscriber(broker.host, broker.port, "plant/#") as consumer:
            sink = Sink()
            with running_link(settings_for(broker.port), sink) as (link, _):
                sink.wait_up()
                fixed, whole = Desk(Publish(link, "plant/feed", "STOP")), Desk(Publish(link, "plant/alarm", None))
                for desk in (fixed, whole):
                    assert desk.answered()["outcome"] == "done"
            consumer.wait_for(lambda messages: len(messages) == 2)
            assert consumer.payloads("plant/feed") == [b"STOP"]
            assert json.loads(consumer.payloads("plant/alarm")[0])["machine"] == "pump"

    def test_without_a_connection_it_fails_and_is_not_sent_later(self, tmp_path: Path) -> None:
        broker = Broker(tmp_path)
        with running_link(settings_for(broker.port), Sink()) as (link, _):
            desk = Desk(Publish(link, "plant/feed", "STOP"))
            record = desk.answered()
            assert (record["outcome"], "no connection" in record["told"]) == ("failed", True)

    def test_what_the_broker_refuses_is_a_failure(self, tmp_path: Path) -> None:
        access = tmp_path / "acl"
        access.write_text("topic readwrite stethos/#\n")
        with Broker(tmp_path, [f"acl_file {access}"]) as broker:
            sink = Sink()
            with running_link(settings_for(broker.port), sink) as (link, _):
                sink.wait_up()
                desk = Desk(Publish(link, "plant/feed", "STOP"))
                record = desk.answered()
        assert (record["outcome"], "Not authorized" in record["told"]) == ("failed", True)


class TestSerial:
    STOP = StartupCommand(send="STOP\r\n", expect="OK", timeout_s=0.5, retries=1)

    @contextmanager
    def reading(self, device: PtyDevice) -> Iterator[tuple[SerialSource, ChunkBuffer]]:
        buffer = ChunkBuffer(65_536)
        source = SerialSource("drive", SerialPlace(str(device.path), 115_200), buffer, SystemClock())
        with at_work(source.run):
            wait_until(lambda: source.status.is_open, 30, "the open line")
            yield source, buffer

    def test_a_command_is_said_while_the_device_sends_and_no_sample_is_lost(self, tmp_path: Path) -> None:
        with PtyDevice(tmp_path / "ttyDRIVE") as device, self.reading(device) as (source, buffer):
            desk = Desk(
                Tell(source.teller, "drive", "stop", msgspec.structs.replace(self.STOP, timeout_s=30.0)), timeout_s=60.0
            )
            with desk.running() as responder:
                responder.put(event())
                said = b""
                while b"\n" not in said:
                    device.write(b"1.0\r\n")
                    said += device.read(0.05)
                device.write(b"OK\r\n2.0\r\n")
                (record,) = desk.wait(1)
            assert (record["outcome"], record["what"]) == ("done", "tell drive stop")
            assert said == b"STOP\r\n"
            wait_until(
                lambda: b"2.0" in b"".join(chunk.data for chunk in buffer.take(0.1)) or not buffer.held_bytes,
                30,
                "data",
            )

    def test_a_device_that_does_not_answer_is_a_failure_after_its_tries(self, tmp_path: Path) -> None:
        with PtyDevice(tmp_path / "ttyDRIVE") as device, self.reading(device) as (source, _):
            desk = Desk(Tell(source.teller, "drive", "stop", self.STOP))
            record = desk.answered()
            assert (record["outcome"], "was not answered" in record["told"]) == ("failed", True)
            assert device.read(0.1) == b"STOP\r\n" * 2

    def test_a_command_that_came_too_late_is_never_said(self, tmp_path: Path) -> None:
        device = PtyDevice(tmp_path / "ttyDRIVE")
        buffer = ChunkBuffer(65_536)
        source = SerialSource("drive", SerialPlace(str(device.path), 115_200), buffer, SystemClock())
        desk = Desk(Tell(source.teller, "drive", "stop", self.STOP), timeout_s=0.3)
        record = desk.answered()
        assert (record["outcome"], "not open" in record["told"]) == ("failed", True)
        with device, at_work(source.run):
            wait_until(lambda: source.status.is_open, 30, "the open line")
            assert device.read(0.7) == b""
