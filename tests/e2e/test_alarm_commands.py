"""Operators' acts on the real daemon: by MQTT and on the command line, kept through SIGKILL, told to consumers, found in the journal."""

from __future__ import annotations

import json
import os
import pwd
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from click.testing import Result
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from agent.commands.access import sign
from agent.infer.keys import public_pem
from tests.e2e.plant import FAULT, Plant, events, latest, types, wait_health
from tests.harness.broker import Received, Subscriber, wait_until

OPERATOR = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
WHO = {"by": "Meier", "comment": "on my way"}
MEIER = f"Meier ({pwd.getpwuid(os.getuid()).pw_name})"  # as the journal names whoever says so on the box


@pytest.fixture
def attended(plant: Plant) -> Plant:
    """The plant with an alarm of its pump that wants to be acknowledged, and MQTT that may do anything."""
    text = plant.daemon.config.read_text().replace("acknowledge = false", "acknowledge = true")
    plant.daemon.config.write_text(text + '[commands]\nmqtt = ["*"]\n')
    return plant


def ask(plant: Plant, command: str, payload: bytes, *, retain: bool = False, **properties: Any) -> None:
    """Publish a request as anybody on the broker may."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.connect(plant.broker.host, plant.broker.port)
    client.loop_start()
    v5 = Properties(PacketTypes.PUBLISH)
    for name, value in properties.items():
        setattr(v5, name, value)
    topic = f"stethos/line-3/request/{command}"
    receipt = client.publish(topic, payload, qos=1, retain=retain, properties=v5)
    receipt.wait_for_publish(30)
    assert receipt.is_published(), f"the broker did not take {command}"
    client.disconnect()
    client.loop_stop()


def answer(consumer: Subscriber, transaction: object) -> dict[str, Any]:
    """The response to the request of that name."""

    def found() -> list[dict[str, Any]]:
        bodies = [json.loads(m.payload) for m in consumer.messages if "/response/" in m.topic]
        return [body for body in bodies if body["transaction"] == transaction]

    wait_until(lambda: bool(found()), 30, f"a response to {transaction}")
    return found()[0]


def alarm_of(plant: Plant, consumer: Subscriber) -> str:
    """The id of a new alarm of the pump."""
    plant.accel(20)
    plant.accel(5, FAULT)
    messages = consumer.wait_for(lambda messages: types(messages, "pump")[-1:] == ["new"])
    return str(events(messages, "pump")[-1]["id"])


def new_alarms(messages: list[Received]) -> list[dict[str, Any]]:
    return [event for event in events(messages, "pump") if event["type"] == "new"]


def stethos(plant: Plant, *arguments: str) -> Result:
    """The command line beside the daemon."""
    return plant.stethos("alarms", *arguments)


def test_an_alarm_is_acknowledged_by_mqtt_and_ends_once_the_machine_is_normal(attended: Plant) -> None:
    with attended.consumer() as consumer:
        attended.daemon.start()
        alarm = alarm_of(attended, consumer)
        ask(attended, "alarms.ack", json.dumps({"alarm": alarm, "transaction": 7, **WHO}).encode())
        response = answer(consumer, 7)
        assert (response["status"], response["data"]["state"]) == ("ok", "acknowledged")
        messages = consumer.wait_for(lambda messages: events(messages, "pump")[-1]["type"] == "update")
        assert events(messages, "pump")[-1]["after"]["acknowledged"]["by"] == "Meier"
        wait_until(
            lambda: latest(consumer, "machine/pump/alarms")["alarms"][0]["state"] == "acknowledged", 30, "retained"
        )
        attended.accel(10)
        consumer.wait_for(lambda messages: types(messages, "pump") == ["new", "end"])


def test_what_makes_no_sense_or_is_not_well_formed_is_answered_with_a_reason(attended: Plant) -> None:
    with attended.consumer() as consumer:
        attended.daemon.start()
        consumer.wait_for(lambda messages: any(m.topic.endswith("availability") for m in messages))
        act = {"machine": "pump", "transaction": "a", **WHO}
        ask(attended, "alarms.ack", json.dumps(act).encode())
        assert answer(consumer, "a")["error"] == "there is nothing to acknowledge"
        ask(attended, "alarms.ack", json.dumps({"machine": "pump", "transaction": "b"}).encode())
        assert "by" in answer(consumer, "b")["error"]
        ask(attended, "alarms.explode", b'{"transaction": "c"}')
        assert "there is no command" in answer(consumer, "c")["error"]
        ask(attended, "alarms.ack", b"\xff\x00 rubbish")
        assert "no JSON object" in answer(consumer, None)["error"]
        health = wait_health(consumer, lambda health: health["counters"].get("commands_refused") == 4)
        assert health["counters"]["commands_requests"] == 4


def test_reading_is_allowed_unasked_and_acting_is_not(plant: Plant) -> None:
    with plant.consumer() as consumer:
        plant.daemon.start()
        consumer.wait_for(lambda messages: any(m.topic.endswith("availability") for m in messages))
        for number, command in enumerate(
            ["alarms.list", "config.get", "health.get", "commands.list", "alarms.history"]
        ):
            ask(plant, command, json.dumps({"transaction": number}).encode())
            assert answer(consumer, number)["status"] == "ok", command
        assert answer(consumer, 1)["data"]["agent"]["id"] == "line-3"
        assert answer(consumer, 4)["data"]["records"][-1]["entry"]["kind"] == "opening"
        assert [each["command"] for each in answer(consumer, 3)["data"] if each["allowed"] and each["changes"]] == []
        ask(plant, "alarms.remove", json.dumps({"machine": "pump", "transaction": "no", **WHO}).encode())
        assert "may not be asked for" in answer(consumer, "no")["error"]


def test_a_response_topic_and_correlation_data_are_honoured_and_own_topics_are_not_for_answers(attended: Plant) -> None:
    with attended.consumer() as consumer, Subscriber(attended.broker.host, attended.broker.port, "me/#") as me:
        attended.daemon.start()
        consumer.wait_for(lambda messages: any(m.topic.endswith("availability") for m in messages))
        ask(attended, "alarms.list", b"", ResponseTopic="me/answers", CorrelationData=b"\x00\xff")
        got = me.wait_for(lambda messages: len(messages) == 1)[0]
        assert (got.topic, got.properties["CorrelationData"], got.retain) == ("me/answers", b"\x00\xff", False)
        ask(attended, "alarms.list", b"", ResponseTopic="stethos/line-3/availability")
        ask(attended, "alarms.list", b"", retain=True)
        health = wait_health(consumer, lambda health: health["counters"].get("commands_mqtt_retained") == 1)
        assert health["counters"]["commands_mqtt_misdirected"] == 1
        assert consumer.payloads("stethos/line-3/availability") == [b"online"]


def test_a_signed_request_is_carried_out_once_even_across_a_restart(attended: Plant) -> None:
    (attended.folder / "operator.pub").write_bytes(public_pem(OPERATOR.public_key()))
    text = attended.daemon.config.read_text()
    attended.daemon.config.write_text(text + 'keys = ["operator.pub"]\n')
    fields = {"machine": "pump", "for": "8h", "transaction": "s", **WHO}
    signed = sign("line-3", "alarms.shelve", fields, key=OPERATOR, time_ns=time.time_ns(), nonce="0123456789")
    with attended.consumer() as consumer:
        attended.daemon.start()
        consumer.wait_for(lambda messages: any(m.topic.endswith("availability") for m in messages))
        ask(attended, "alarms.shelve", json.dumps({**fields, "transaction": "u"}).encode())
        assert "must be signed" in answer(consumer, "u")["error"]
        ask(attended, "alarms.shelve", signed)
        assert answer(consumer, "s")["data"]["state"] == "shelved"
        attended.daemon.kill()
        attended.daemon.start()
        wait_until(lambda: consumer.payloads("stethos/line-3/availability").count(b"online") == 2, 30, "it is back")
        ask(attended, "alarms.unshelve", signed)
        wait_until(lambda: len(consumer.payloads("stethos/line-3/response/alarms.unshelve")) == 1, 30, "a refusal")
        ask(attended, "alarms.shelve", signed)
        wait_until(lambda: len(consumer.payloads("stethos/line-3/response/alarms.shelve")) == 3, 30, "a refusal")
    assert b"another agent or command" in consumer.payloads("stethos/line-3/response/alarms.unshelve")[0]
    assert b"nonce was used before" in consumer.payloads("stethos/line-3/response/alarms.shelve")[-1]
    history = json.loads(stethos(attended, "history", "--json").stdout)["records"]
    commands = [each["entry"] for each in history if each["entry"]["kind"] == "command"]
    assert [(each["by"], each["over"], len(each["key"])) for each in commands] == [("Meier", "mqtt", 16)]


def test_the_command_line_acts_and_everything_survives_sigkill(attended: Plant) -> None:
    with attended.consumer() as consumer:
        attended.daemon.start()
        alarm = alarm_of(attended, consumer)
        listed = stethos(attended, "list")
        assert alarm in listed.stdout
        assert "first out" in listed.stdout
        done = stethos(attended, "ack", alarm, "--by", "Meier", "--comment", "on my way")
        assert (done.exit_code, done.stdout) == (0, "pump.model is acknowledged\n"), done.stderr
        attended.daemon.kill()  # at once: what was answered is on disk
        again = stethos(attended, "history")
        assert "alarms.ack, by Meier" in again.stdout, again.stderr
        verified = stethos(attended, "verify")
        assert (verified.exit_code, verified.stdout.splitlines()[-1]) == (0, "intact")
        attended.daemon.start()
        wait_until(lambda: "acknowledged" in stethos(attended, "list").stdout, 30, "the alarm, as it was left")
        twice = stethos(attended, "ack", alarm, "--comment", "again")
        assert twice.exit_code == 1
        assert "nothing to acknowledge" in twice.stderr
        shelved = stethos(attended, "shelve", alarm, "--for", "2s", "--comment", "known", "--json")
        assert json.loads(shelved.stdout)["state"] == "shelved"
        # its time is over by the host's clock, and the alarm, which is active, is news again
        consumer.wait_for(
            lambda messages: (
                [event["after"]["state"] for event in events(messages, "pump")][-2:] == ["shelved", "unacknowledged"]
            )
        )
        health = wait_health(consumer, lambda health: health["journal"]["seq"] > 5)
        head = f"{health['journal']['seq']}:{health['journal']['hash']}"
        assert stethos(attended, "verify", "--head", head).exit_code == 0
    attended.daemon.terminate()
    assert stethos(attended, "verify", "--head", head).exit_code == 0
    assert stethos(attended, "list").exit_code == 1
    assert "no agent runs here" in stethos(attended, "list").stderr


def test_a_verdict_on_an_alarm_that_is_over_outlives_sigkill_and_is_told_with_the_next_one_like_it(
    plant: Plant,
) -> None:
    with plant.consumer() as consumer:
        plant.daemon.start()
        first = alarm_of(plant, consumer)
        assert "100%  accel.x: mean" in stethos(plant, "show", first).stdout
        assert "    to do: accel.x: Tighten the probe." in stethos(plant, "show", first).stdout.splitlines()
        plant.accel(20)
        consumer.wait_for(lambda messages: types(messages, "pump") == ["new", "end"])
        assert "stands" in stethos(plant, "ack", first, "--true", "--by", "Meier", "--comment", "seen").stderr
        assert stethos(plant, "judge", first, "--by", "Meier", "--comment", "seen").exit_code == 2
        judged = stethos(plant, "judge", first, "--true", "--by", "Meier", "--comment", "bearing is worn")
        assert (judged.exit_code, judged.stdout) == (0, "pump.model is normal\n"), judged.stderr
        plant.daemon.kill()  # at once: what was answered is on disk
        plant.daemon.start()
        wait_until(lambda: stethos(plant, "past").exit_code == 0, 30, "an answer")
        assert stethos(plant, "past").stdout == f"{first}, a true alarm says {MEIER}: bearing is worn, led by accel.x\n"
        health = wait_health(consumer, lambda health: health["machines"]["pump"]["false_alarms"]["confirmed_true"] == 1)
        assert health["machines"]["pump"]["false_alarms"]["raised"] == 1
        second = alarm_of(plant, consumer)
        (similar,) = events(consumer.messages, "pump")[-1]["after"]["similar"]
        assert (similar["id"], similar["verdict"], similar["comment"]) == (first, "true", "bearing is worn")
        listed, shown = stethos(plant, "list").stdout, stethos(plant, "show", second).stdout
        assert f"which {MEIER} called a true alarm: bearing is worn." in listed
        assert "    accel.x: Tighten the probe." in listed.splitlines()
        assert f"like {first}, a true alarm says {MEIER}: bearing is worn" in shown
        corrected = stethos(plant, "judge", second, "--false", "--by", "Meier", "--comment", "a test")
        assert corrected.stdout == "pump.model is acknowledged\n"
        consumer.wait_for(
            lambda messages: (events(messages, "pump")[-1]["after"]["judged"] or {}).get("verdict") == "false"
        )
        assert f"a false alarm says {MEIER}: a test" in stethos(plant, "show", second).stdout
        gone = stethos(plant, "show", first)
        assert (gone.exit_code, "no alarm" in gone.stderr) == (1, True)
    plant.daemon.terminate()
    assert f"pump.model: judge, normal -> normal, by {MEIER}: bearing is worn" in stethos(plant, "history").stdout
    assert stethos(plant, "verify").exit_code == 0


def test_a_record_altered_behind_the_agents_back_is_found(attended: Plant) -> None:
    with attended.consumer() as consumer:
        attended.daemon.start()
        alarm = alarm_of(attended, consumer)
        assert stethos(attended, "ack", alarm, "--by", "Meier", "--comment", "seen").exit_code == 0
        health = wait_health(consumer, lambda health: health["journal"]["seq"] >= 4)
    attended.daemon.terminate()
    path = attended.folder / "state" / "outbox.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "UPDATE journal SET record = CAST(replace(CAST(record AS TEXT), 'Meier', 'Maier') AS BLOB) WHERE seq = 3"
        )
    broken = stethos(attended, "verify")
    assert broken.exit_code == 1
    assert "broken at record 3" in broken.stdout
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM journal WHERE seq >= 3")
    assert stethos(attended, "verify").exit_code == 0, "a chain whose end was cut off is a chain"
    cut = stethos(attended, "verify", "--head", f"{health['journal']['seq']}:{health['journal']['hash']}")
    assert cut.exit_code == 1
    assert "its end was cut off" in cut.stdout


def test_the_socket_is_for_its_owner_and_group(attended: Plant) -> None:
    attended.daemon.start()
    path: Path = attended.folder / "state" / "control.sock"
    wait_until(
        lambda: stethos(attended, "list").exit_code == 0, 30, "an answer"
    )  # it listens only once its mode is set
    assert path.stat().st_mode & 0o777 == 0o660
    attended.daemon.kill()
    attended.daemon.start()  # what the killed one left there is in nobody's way
    wait_until(lambda: stethos(attended, "list").exit_code == 0, 30, "an answer")
    attended.daemon.terminate()
    assert not path.exists()


def test_in_a_flood_low_alarms_wait_and_what_still_stands_is_told_when_it_is_over(plant: Plant) -> None:
    rules = ", ".join(f'{{ name = "r{n}", of = "rms([accel.x])", high = 2.0, priority = "low" }}' for n in range(15))
    text = plant.daemon.config.read_text()
    channels = 'channels = ["accel.x", "accel.y"]\n'
    plant.daemon.config.write_text(text.replace(channels, f'{channels}rule = [{rules}]\ngroup = "house"\n'))
    with plant.consumer() as consumer:
        plant.daemon.start()
        plant.accel(20)
        plant.accel(30, FAULT)
        wait_until(lambda: len((latest(consumer, "machine/pump/alarms") or {"alarms": []})["alarms"]) == 16, 30, "all")
        stands = latest(consumer, "machine/pump/alarms")
        waiting = [each for each in stands["alarms"] if each["state"] == "suppressed_by_design"]
        assert {each["override"]["comment"] for each in waiting} == {"flood"}
        told = new_alarms(consumer.wait_for(lambda messages: len(new_alarms(messages)) >= 10))
        assert len(told) == 10
        assert len(told) + len(waiting) == 16
        assert [event["after"]["first_out"] for event in told] == [True] + [False] * 9
        assert "model" in {event["after"]["point"] for event in told}, "the model's alarm is a high one"
        health = wait_health(consumer, lambda health: health["alarms"]["flood"])
        assert health["alarms"]["held_back"] == 6
        plant.daemon.kill()
        plant.daemon.start()
        plant.accel(620, FAULT)
        consumer.wait_for(lambda messages: len(new_alarms(messages)) == 16, 60)
        wait_health(consumer, lambda health: not health["alarms"]["flood"])
    assert stethos(plant, "verify").exit_code == 0
