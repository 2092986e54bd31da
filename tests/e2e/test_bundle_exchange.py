"""The real daemon exchanges its models: by command, by MQTT, by a dropped file; refuses, goes back, and loses nothing on the way."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.commands.access import sign
from agent.infer.keys import public_pem
from tests.e2e.plant import FAULT, Plant, events, latest, types, wait_health
from tests.e2e.test_alarm_commands import answer, ask
from tests.harness import command_line
from tests.harness.agent_folder import contract, energy_bundle
from tests.harness.broker import Received, wait_until
from tests.harness.threads import at_work

CONTRACT = contract(("x", "[g]"), ("y", "[g]"))
OPERATOR = Ed25519PrivateKey.from_private_bytes(bytes(range(2, 34)))


def release(number: int, **changes: Any) -> bytes:
    return energy_bundle(CONTRACT, version=f"{number}.0.0", counter=number, **changes)


@pytest.fixture
def stored(plant: Plant) -> Plant:
    """The plant, whose pump is watched by "pump" of the store, release 1."""
    text = plant.daemon.config.read_text().replace('bundle = "pump.stethos"', 'bundle = "pump"')
    plant.daemon.config.write_text(text + '[bundles]\ninbox = "inbox"\n')
    assert stethos(plant, "install", str(plant.folder / "pump.stethos")).exit_code == 0
    return plant


def stethos(plant: Plant, *arguments: str) -> Result:
    return plant.stethos("bundle", *arguments)


def file(plant: Plant, data: bytes, name: str = "release.stethos") -> str:
    (plant.folder / name).write_bytes(data)
    return str(plant.folder / name)


def drop(plant: Plant, data: bytes, name: str) -> None:
    """Into the inbox, as one should: under another name first."""
    (plant.folder / "inbox" / f"{name}.part").write_bytes(data)
    (plant.folder / "inbox" / f"{name}.part").rename(plant.folder / "inbox" / name)


def security(messages: list[Received]) -> list[dict[str, Any]]:
    return [json.loads(message.payload) for message in messages if message.topic == "stethos/line-3/security"]


def runs(plant: Plant, version: str) -> Any:
    """A condition on health: which release of the pump's model runs."""
    return lambda health: health["bundles"]["pump"]["running"]["version"] == version


@contextmanager
def streaming(plant: Plant, level: float = 1.0) -> Iterator[None]:
    """The accelerometer sends ten times as fast as it measures, inside the `with`."""

    def send(stop: threading.Event) -> None:
        while not stop.is_set():
            plant.accel(0.5, level)
            stop.wait(0.05)

    with at_work(send):
        yield


def test_a_hot_exchange_under_load_loses_no_sample_no_window_and_no_alarm(stored: Plant) -> None:
    with stored.consumer() as consumer:
        stored.start(consumer)
        stored.accel(20)
        with streaming(stored, FAULT):
            consumer.wait_for(lambda messages: types(messages, "pump") == ["new"])
            installed = stethos(stored, "install", file(stored, release(2)))
            assert installed.exit_code == 0, installed.stderr
            assert "beside it version 2.0.0" in installed.stdout
            activated = stethos(stored, "activate", "pump", "--comment", "better", "--json")
            assert activated.exit_code == 0, activated.stderr
            assert json.loads(activated.stdout)["trial"] == "probation"
            wait_health(consumer, runs(stored, "2.0.0"))
            assert len(latest(consumer, "machine/pump/alarms")["alarms"]) == 1, "the alarm stands on"
        stored.accel(10)
        sent = stored.sent["accel"]
        health = wait_health(consumer, lambda health: health["flow"]["samples"]["in"] == sent)
        messages = consumer.wait_for(lambda messages: types(messages, "pump") == ["new", "end"])
        told = security(messages)
        listed = json.loads(stethos(stored, "list", "--json").stdout)
    assert health["flow"]["buffer"]["dropped"] == 0
    assert health["flow"]["samples"]["dropped"] == 0
    assert health["counters"]["exchanges"] == 1
    for stage, books in health["flow"].items():
        assert books["in"] == books["out"] + books["held"] + books["dropped"], stage
    # Each hop of 16 samples has its window, across the exchange too; the first is due after 32 samples.
    assert health["counters"]["windows"] in {(sent - 1) // 16 - 1, (sent - 1) // 16, (sent - 1) // 16 - 2}
    assert health["counters"]["windows_unknown"] == 0
    first, last = events(messages, "pump")[0], events(messages, "pump")[-1]
    assert first["id"] == last["id"]
    assert (first["bundle"]["version"], last["bundle"]["version"]) == ("1.0.0", "2.0.0")
    assert [each["event"] for each in told[-2:]] == ["bundle_installed", "bundle_activated"]
    assert told[-1]["bundle"]["version"] == "2.0.0"
    assert listed["bundles"]["pump"]["probation"]["windows"] > 0


def test_what_goes_over_mqtt_is_listed_allowed_and_signed(stored: Plant) -> None:
    (stored.folder / "operator.pub").write_bytes(public_pem(OPERATOR.public_key()))
    text = stored.daemon.config.read_text()
    stored.daemon.config.write_text(text + '[commands]\nmqtt = ["*"]\nkeys = ["operator.pub"]\n')
    with stored.consumer() as consumer:
        stored.daemon.start()
        consumer.wait_for(lambda messages: any(m.topic.endswith("availability") for m in messages))
        assert stethos(stored, "install", file(stored, release(2))).exit_code == 0
        ask(stored, "bundle.list", b'{"transaction": 1}')
        assert answer(consumer, 1)["data"]["bundles"]["pump"]["other"]["version"] == "2.0.0"
        fields = {"bundle": "pump", "by": "Meier", "transaction": 2}
        ask(stored, "bundle.activate", json.dumps(fields).encode())
        assert "must be signed" in answer(consumer, 2)["error"]
        install = {"file": "/etc/passwd", "by": "Meier", "transaction": 3}
        ask(stored, "bundle.install", json.dumps(install).encode())
        assert "is taken on the box alone, by `stethos bundle install`" in answer(consumer, 3)["error"]
        fields["transaction"] = 4
        signed = sign("line-3", "bundle.activate", fields, key=OPERATOR, time_ns=time.time_ns(), nonce="0123456789")
        ask(stored, "bundle.activate", signed)
        assert answer(consumer, 4)["data"]["running"]["version"] == "2.0.0"
        wait_health(consumer, runs(stored, "2.0.0"))
        told = consumer.wait_for(lambda messages: security(messages)[-1]["event"] == "bundle_activated")
        assert security(told)[-1]["by"] == "Meier"
        history = stored.stethos("alarms", "history", "--json")
        record = json.loads(history.stdout)["records"][0]["entry"]
        assert (record["kind"], record["event"], record["over"]) == ("security", "bundle_activated", "mqtt")
        assert len(record["key"]) == 16


def test_a_refused_bundle_in_the_inbox_is_put_aside_and_what_runs_goes_on(stored: Plant) -> None:
    spoilt = bytearray(release(2))
    spoilt[len(spoilt) // 2] ^= 1
    with stored.consumer() as consumer:
        stored.daemon.start()
        stored.accel(10)
        drop(stored, bytes(spoilt), "bad.stethos")
        aside = stored.folder / "inbox" / "refused" / "bad.stethos.refused"
        wait_until(lambda: aside.exists() and bool(aside.read_text()), 30, "the file put aside")
        messages = consumer.wait_for(lambda messages: "bundle_refused" in [e["event"] for e in security(messages)])
        health = wait_health(consumer, lambda health: any(each["where"] == "inbox" for each in health["reasons"]))
        assert health["state"] == "maintenance_required"
        assert runs(stored, "1.0.0")(health)
        assert "bad.stethos" in security(messages)[-1]["what"]
        stored.accel(5, FAULT)
        consumer.wait_for(lambda messages: types(messages, "pump") == ["new"])
        assert aside.read_text().strip() in security(messages)[-1]["what"]


def test_a_storm_on_probation_is_gone_back_from_without_anybody(stored: Plant) -> None:
    text = stored.daemon.config.read_text()
    stored.daemon.config.write_text(text + "[bundles.probation]\nalarms = 3\n")
    with stored.consumer() as consumer:
        stored.start(consumer)
        stored.accel(20)
        drop(stored, release(2), "two.stethos")
        wait_health(consumer, runs(stored, "2.0.0"))
        for _ in range(6):
            stored.accel(3, FAULT)
            stored.accel(3)
        health = wait_health(consumer, runs(stored, "1.0.0"), 30)
        assert "alarms in 1 min, 3 is the most" in health["bundles"]["pump"]["other"]["barred"]
        messages = consumer.wait_for(lambda messages: "bundle_returned" in [e["event"] for e in security(messages)])
        stored.accel(10)
        sent = stored.sent["accel"]
        health = wait_health(consumer, lambda health: health["flow"]["samples"]["in"] == sent)
        consumer.wait_for(lambda messages: types(messages, "pump") == ["new", "end"] * 6)
    assert "it runs again, gone back to from 2.0.0 by itself" in security(messages)[-1]["what"]
    assert health["flow"]["samples"]["dropped"] == 0
    assert health["counters"]["exchanges"] == 2


def test_a_loop_of_kills_on_probation_leads_back(stored: Plant) -> None:
    with stored.consumer() as consumer:
        stored.daemon.start()
        assert stethos(stored, "install", file(stored, release(2))).exit_code == 0
        assert stethos(stored, "activate", "pump").exit_code == 0
        for run in range(3):
            wait_until(lambda run=run: begun(stored) == run + 1, 30, "the run is counted on disk")
            stored.daemon.kill()
            stored.daemon.start()
        listed = json.loads(stethos(stored, "list", "--json").stdout)["bundles"]["pump"]
        assert listed["running"]["version"] == "1.0.0"
        assert "without a stop 3 times" in listed["other"]["barred"]
        messages = consumer.wait_for(lambda messages: "bundle_returned" in [e["event"] for e in security(messages)])
        assert "2.0.0 is tried no more" in security(messages)[-1]["what"]
        stored.accel(20)
        stored.accel(5, FAULT)
        messages = consumer.wait_for(lambda messages: types(messages, "pump") == ["new"])
        assert events(messages, "pump")[0]["bundle"]["version"] == "1.0.0"
        wait_health(consumer, lambda health: any("does not run" in each["what"] for each in health["reasons"]))
    assert stored.daemon.terminate() == 0


def begun(plant: Plant) -> int:
    record = json.loads((plant.folder / "state" / "bundles" / "pump.json").read_text())["document"]
    return record["trial"]["begun"] if record["trial"] else 0


def test_while_no_agent_runs_the_command_line_works_on_the_store(stored: Plant) -> None:
    assert stethos(stored, "install", file(stored, release(2))).exit_code == 0
    refused = stethos(stored, "install", file(stored, release(3, golden_error=1.0)))
    assert refused.exit_code == 1
    assert "misses its golden vectors" in refused.stderr
    assert stethos(stored, "activate", "pump").exit_code == 0
    check = command_line.stethos("check", stored.daemon.config)
    assert check.exit_code == 0, check.output
    assert "machine pump: pump 2.0.0 of the store" in check.stdout
    assert "machine motor: pump 1.0.0 on" in check.stdout, "a file's path is that file"
    with stored.consumer() as consumer:
        stored.daemon.start()
        wait_health(consumer, runs(stored, "2.0.0"))
        told = consumer.wait_for(lambda messages: len(security(messages)) >= 3)
        assert [each["event"] for each in security(told)] == [
            "bundle_installed",
            "bundle_installed",
            "bundle_activated",
        ]
    assert stored.daemon.terminate() == 0
    assert stethos(stored, "rollback", "pump", "--comment", "louder").exit_code == 0
    listed = stethos(stored, "list").stdout
    assert "pump: version 1.0.0" in listed
    assert "barred: louder" in listed
    assert stethos(stored, "rollback", "pump").exit_code == 1
    path: Path = stored.folder / "state" / "trust.json"
    assert json.loads(path.read_text())["trust"]["counters"] == {"pump": 1}
