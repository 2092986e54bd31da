"""The main job, whole: bytes on a pty and on a broker, alarms and summaries at a consumer, every item accounted for."""

from __future__ import annotations

import json
import time

from tests.e2e.plant import FAULT, Plant, events, latest, types, wait_health
from tests.harness.broker import wait_until


def test_faults_on_serial_and_on_mqtt_are_alarmed_explained_and_cleared(plant: Plant) -> None:
    with plant.consumer() as consumer:
        plant.start(consumer)
        plant.accel(20)
        plant.accel(5, FAULT)
        plant.drive(20)
        plant.drive(5, FAULT)
        consumer.wait_for(lambda messages: types(messages, "pump") == types(messages, "motor") == ["new"])
        topic = "stethos/line-3/machine/pump/alarms"
        consumer.wait_for(lambda _: any(json.loads(payload)["alarms"] for payload in consumer.payloads(topic)))
        standing = latest(consumer, "machine/pump/alarms")["alarms"]
        plant.accel(20)
        plant.drive(20)
        messages = consumer.wait_for(
            lambda messages: types(messages, "pump") == types(messages, "motor") == ["new", "end"]
        )
        wait_until(lambda: latest(consumer, "machine/pump/alarms")["alarms"] == [], 30, "nothing that stands")

    raised = events(messages, "pump")[0]
    assert raised["schema"] == "stethos.alarm/1"
    assert raised["before"] is None
    assert raised["after"]["channels"][0]["channel"] == "accel.x", "the channel that is loud leads the explanation"
    assert raised["after"]["channels"][0]["share"] > 0.9
    assert raised["after"]["reading"]["exceedances_per_hour"] <= raised["after"]["budget_per_hour"]
    assert raised["bundle"]["name"] == "pump"
    assert len({event["id"] for event in events(messages, "pump")}) == 1, "one alarm keeps its id to its end"
    assert [alarm["id"] for alarm in standing] == [raised["id"]]


def test_every_byte_frame_sample_window_and_message_is_accounted_for(plant: Plant) -> None:
    with plant.consumer() as consumer:
        plant.start(consumer)
        plant.accel(30)
        plant.drive(30)
        plant.accel(5, FAULT)
        sent = sum(plant.sent.values())
        health = wait_health(
            consumer, lambda health: health["flow"]["samples"]["in"] == sent and not health["flow"]["outbox"]["held"]
        )

        assert plant.daemon.terminate() == 0, plant.daemon.log
        wait_until(lambda: latest(consumer, "health")["uptime_s"] > health["uptime_s"], 30, "the last health")
        last = latest(consumer, "health")

    assert last["flow"]["buffer"]["held"] == 0
    for stage, flow in [*health["flow"].items(), *last["flow"].items()]:
        assert flow["in"] == flow["out"] + flow["held"] + flow["dropped"], stage
    assert health["flow"]["buffer"]["out"] == health["flow"]["bytes"]["in"]
    assert health["flow"]["frames"]["out"] == sent
    assert health["flow"]["samples"]["dropped"] == 0
    assert health["flow"]["windows"]["out"] > 0
    assert health["flow"]["windows"]["dropped"] == 0
    assert not any("unaccounted" in reason["what"] for reason in health["reasons"])


def test_summaries_say_what_the_channels_were_like(plant: Plant) -> None:
    with plant.consumer() as consumer:
        plant.start(consumer)
        plant.accel(32)
        topic = "stethos/line-3/machine/pump/summary"
        messages = consumer.wait_for(lambda messages: sum(message.topic == topic for message in messages) >= 2)

    summaries = [json.loads(message.payload) for message in messages if message.topic == topic]
    summary = summaries[1]
    channel = summary["channels"][0]
    assert channel["channel"] == "accel.x"
    assert channel["values"]["n"] == 1_000, "ten seconds at 100 Hz"
    assert abs(channel["values"]["std"] - 1) < 0.1
    assert summary["windows_unknown"] == 0
    assert channel["flagged"] == {}
    lines = [summary["lines"]["accel"] for summary in summaries]
    assert sum(line["frames"] for line in lines) >= 2_000, "whichever of them the frames arrived before"
    assert all((line["checksum_errors"], line["lost"], line["repeated"]) == (0, 0, 0) for line in lines)
    assert next(m for m in messages if m.topic == topic).properties["MessageExpiryInterval"] > 0


def test_a_consumer_sees_it_come_and_go(plant: Plant) -> None:
    with plant.consumer() as consumer:
        plant.daemon.start()
        topic = "stethos/line-3/availability"
        consumer.wait_for(lambda messages: any(m.topic == topic for m in messages))
        plant.accel(5)
        started = time.monotonic()
        assert plant.daemon.terminate() == 0
        assert time.monotonic() - started < 10
        wait_until(lambda: consumer.payloads(topic) == [b"online", b"stopped"], 30, "online, then stopped")
        plant.daemon.start()
        wait_until(lambda: consumer.payloads(topic)[-1] == b"online", 30, "online again")
        plant.daemon.kill()
        wait_until(lambda: consumer.payloads(topic)[-1] == b"offline", 30, "the will after a SIGKILL")


def test_a_stop_sends_what_was_seen_and_the_next_start_goes_on(plant: Plant) -> None:
    with plant.consumer() as consumer:
        plant.start(consumer)
        plant.accel(20)
        plant.accel(5, FAULT)
        wait_until(plant.port.is_read, 30, "all of it seen")
        assert plant.daemon.terminate() == 0, plant.daemon.log
        consumer.wait_for(lambda messages: types(messages, "pump") == ["new"])
        plant.daemon.start()
        consumer.wait_for(lambda _: bool((latest(consumer, "machine/pump/alarms") or {}).get("alarms")))
        plant.accel(20)
        messages = consumer.wait_for(lambda messages: types(messages, "pump") == ["new", "end"])
    first, last = events(messages, "pump")[0], events(messages, "pump")[-1]
    assert first["id"] == last["id"], "the alarm that stood at the stop is the one that ends"
    assert first["boot_id"] != last["boot_id"]
