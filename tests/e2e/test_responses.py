"""Alarms of the real daemon do something by themselves: on the broker, on the line, by a program; a hanging one holds nothing up."""

from __future__ import annotations

from typing import Any

from tests.e2e.contract_story import ask, responses
from tests.e2e.plant import ACCEL, FAULT, Plant, types, wait_health
from tests.e2e.test_record_replay import replayed
from tests.harness.broker import Subscriber, wait_until
from tests.harness.command_line import stethos

RESPONSES = """
[responses]
programs = "programs"
[commands]
mqtt = ["alarms.*"]
"""
OF_PUMP = """
[[machine.response]]
name = "feed"
armed = true
mqtt = { topic = "plant/feed/command", payload = "STOP" }
[[machine.response]]
name = "valve"
armed = true
serial = { device = "accel", command = "stop" }
[[machine.response]]
name = "call"
armed = true
timeout = "1s"
program = { file = "hang.sh" }
[[machine.response]]
name = "again"
on = "cleared"
armed = true
dry_run = true
program = { file = "hang.sh" }
"""


def with_responses(plant: Plant) -> None:
    programs = plant.folder / "programs"
    programs.mkdir(mode=0o755)
    (programs / "hang.sh").write_text("#!/bin/sh\nexec sleep 60\n")
    (programs / "hang.sh").chmod(0o755)
    profile = ACCEL + '[command.stop]\nsend = "STOP\\r\\n"\n'
    (plant.folder / "firmware_configs" / "accel.toml").write_text(profile)
    config = plant.daemon.config
    before, motor = config.read_text().split('[[machine]]\nid = "motor"')
    config.write_text(f'{before}{OF_PUMP}\n[[machine]]\nid = "motor"{motor}{RESPONSES}')


def journaled(plant: Plant, consumer: Subscriber) -> dict[str, dict[str, Any]]:
    """Records of responses, by their name."""
    known = len(responses(consumer.messages))
    ask(plant, "alarms.history", {})
    consumer.wait_for(lambda messages: len(responses(messages)) > known)
    entries = [record["entry"] for record in responses(consumer.messages)[-1]["data"]["records"]]
    return {entry["response"]: entry for entry in entries if entry["kind"] == "response"}


def test_an_alarm_acts_on_broker_line_and_program_and_the_pipeline_goes_on(plant: Plant) -> None:
    with_responses(plant)
    plant.daemon.start()
    with Subscriber(plant.broker.host, plant.broker.port, "stethos/#", "plant/feed/#") as consumer:
        plant.accel(20)
        plant.accel(5, FAULT)
        consumer.wait_for(lambda messages: any(m.topic == "plant/feed/command" for m in messages))
        heard = b""
        for _ in range(60):
            heard += plant.port.read(0.5)
            if b"\n" in heard:
                break
        assert heard == b"STOP\r\n"
        plant.accel(20)
        consumer.wait_for(lambda messages: types(messages, "pump") == ["new", "end"])
        health = wait_health(consumer, lambda health: health["counters"].get("responses_dry_run"))
        wait_until(lambda: len(journaled(plant, consumer)) == 4, 30, "four records")
        records = journaled(plant, consumer)
    assert {name: record["outcome"] for name, record in records.items()} == {
        "pump.feed": "done",
        "pump.valve": "done",
        "pump.call": "timed_out",
        "pump.again": "dry_run",
    }
    assert consumer.payloads("plant/feed/command") == [b"STOP"]
    shown = stethos("alarms", "history", "--config", plant.daemon.config)
    assert "pump.valve for pump-" in shown.stdout, shown.output
    assert "tell accel stop: done" in shown.stdout
    assert health["counters"]["responses_done"] == 2
    assert health["flow"]["samples"]["dropped"] == 0


def test_a_replay_does_nothing(plant: Plant) -> None:
    """What replays reads the same file, and must not stop the plant for an alarm of last week."""
    with_responses(plant)
    text = plant.daemon.config.read_text()
    plant.daemon.config.write_text(text + '\n[record]\nfolder = "record"\n')
    plant.daemon.start()
    with plant.consumer() as consumer:
        plant.accel(20)
        plant.accel(5, FAULT)
        consumer.wait_for(lambda messages: types(messages, "pump") == ["new"])
        assert plant.daemon.terminate() == 0, plant.daemon.log
    marker = plant.folder / "ran"
    (plant.folder / "programs" / "hang.sh").write_text(f"#!/bin/sh\ntouch {marker}\n")
    with Subscriber(plant.broker.host, plant.broker.port, "plant/#") as consumer:
        assert [alarm["type"] for alarm in replayed(plant.folder)[:-1]] == ["new"]
        assert consumer.messages == []
    assert not marker.exists()
