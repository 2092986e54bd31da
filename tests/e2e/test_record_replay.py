"""What the daemon took is replayed: the same alarms bit for bit, and what another configuration would change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.plant import FAULT, Plant, events, types
from tests.harness.broker import Received, Subscriber
from tests.harness.command_line import stethos
from tests.harness.recordings import files

# They number one run's messages; everything else in an alarm follows from the bytes.
OF_THE_RUN = ("boot_id", "seq")


def replayed(folder: Path, *arguments: object) -> list[dict[str, Any]]:
    """The alarms of `stethos replay --json`, and the closing object."""
    found = stethos("replay", folder / "record", folder / "agent.toml", "--json", *arguments)
    assert found.exit_code == 0, found.output
    return [json.loads(line) for line in found.stdout.splitlines()]


def without_run(bodies: list[dict[str, Any]]) -> list[dict[str, Any]]:
    kept = [{key: value for key, value in body.items() if key not in OF_THE_RUN} for body in bodies]
    return sorted(kept, key=lambda body: (body["machine"], body["time_ns"], body["key"]))


def decoded(messages: list[Received]) -> int:
    """Samples that the daemon decoded in all of its runs, by the last health of each."""
    healths = [json.loads(message.payload) for message in messages if message.topic == "stethos/line-3/health"]
    return sum({health["boot_id"]: health["flow"]["frames"]["out"] for health in healths}.values())


def stops(messages: list[Received]) -> int:
    return sum(message.topic == "stethos/line-3/availability" and message.payload == b"stopped" for message in messages)


def stop(plant: Plant, consumer: Subscriber) -> None:
    """Once its health has told of everything."""
    consumer.wait_for(lambda sent: decoded(sent) == sum(plant.sent.values()))
    assert plant.daemon.terminate() == 0, plant.daemon.log


def record_two_runs(plant: Plant) -> tuple[list[dict[str, Any]], int]:
    """Alarms of both machines, one of which stands while the daemon is started anew; what the daemon published and decoded."""
    with plant.daemon.config.open("a") as config:
        config.write('[record]\nfolder = "record"\n')
    with plant.consumer() as consumer:
        plant.start(consumer)
        plant.accel(20)
        plant.accel(5, FAULT)
        plant.drive(20)
        plant.drive(5, FAULT)
        plant.drive(20)
        consumer.wait_for(lambda sent: types(sent, "pump") == ["new"] and types(sent, "motor") == ["new", "end"])
        stop(plant, consumer)
        plant.start(consumer)
        plant.accel(20)
        consumer.wait_for(lambda sent: types(sent, "pump") == ["new", "end"])
        stop(plant, consumer)
        messages = consumer.wait_for(lambda sent: stops(sent) == 2)
    return [*events(messages, "pump"), *events(messages, "motor")], decoded(messages)


def test_a_replay_gives_the_daemons_alarms_bit_for_bit_and_a_diff_says_what_would_change(plant: Plant) -> None:
    published, samples = record_two_runs(plant)
    # Whoever replays has neither the broker's password nor the port.
    text = plant.daemon.config.read_text()
    plant.port.unplug()
    plant.broker.kill()
    plant.daemon.config.write_text(
        text.replace("[upstream]", '[upstream]\nusername = "line-3"\npassword = { file = "absent" }')
    )

    *alarms, closing = replayed(plant.folder)
    assert without_run(alarms) == without_run(published)
    assert closing["schema"] == "stethos.replay/1"
    assert closing["samples"] == samples > 8_000
    assert (closing["alarms"], closing["unknown"]) == (2, 0)
    assert closing["windows"] > 0
    assert closing["times_real"] > 0
    assert closing["recording"]["segments"] == len(files(plant.folder / "record")) == 2

    *coarse, _ = replayed(plant.folder, "--coarse")
    assert [(body["key"], body["type"]) for body in coarse] == [(body["key"], body["type"]) for body in alarms]
    scores = [[body["after"]["reading"]["score"] for body in bodies] for bodies in (coarse, alarms)]
    assert scores[0] == pytest.approx(scores[1])

    config = plant.daemon.config
    assert stethos("replay", plant.folder / "record", config, "--diff", config).exit_code == 0
    other = plant.folder / "other.toml"
    # The alarm's own machine needs ten seconds of it, and the fault lasted five.
    other.write_text(config.read_text().replace('id = "pump"', 'id = "pump"\non_delay = "10s"'))
    gone = stethos("replay", plant.folder / "record", config, "--diff", other)
    assert gone.exit_code == 1, gone.output
    assert "0 new, 1 gone, 0 moved, 1 same" in gone.stdout
    other.write_text(config.read_text().replace('id = "motor"', 'id = "motor"\non_delay = "1s"'))
    moved = json.loads(stethos("replay", plant.folder / "record", config, "--diff", other, "--json").stdout)
    assert [(pair["before"]["machine"]) for pair in moved["moved"]] == ["motor"]
    assert moved["moved"][0]["after"]["raised_ns"] - moved["moved"][0]["before"]["raised_ns"] >= 1_000_000_000
    new = json.loads(stethos("replay", plant.folder / "record", other, "--diff", config, "--json").stdout)
    assert len(new["moved"]) == 1
