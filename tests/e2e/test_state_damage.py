"""The real daemon after its state folder was damaged: it starts, says so, sets the damaged file aside, and knows its alarms."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.bundles.twice import COPY, DAMAGED
from tests.e2e.plant import FAULT, Plant, events, types, wait_health
from tests.e2e.test_bundle_exchange import stethos
from tests.harness.broker import Subscriber, wait_until

BOOK = "configurations.json"
KEPT = (BOOK, "trust.json", "bundles/pump.json")
Damage = Callable[[bytes], bytes] | None
DAMAGES: dict[str, Damage] = {
    "torn": lambda data: data[: len(data) // 2],
    "empty": lambda _: b"",
    "no JSON": lambda data: bytes(len(data)),
    "of a newer schema": lambda data: data.replace(b"configurations/1", b"configurations/2"),
    "a folder": None,
}


@pytest.fixture
def state(plant: Plant) -> Path:
    """The state folder of a daemon whose configuration counts as good after a second, and whose pump's model lies in the store."""
    text = plant.daemon.config.read_text().replace('bundle = "pump.stethos"', 'bundle = "pump"')
    plant.daemon.config.write_text(text.replace('state = "state"', 'state = "state"\nwell_after = "1s"'))
    assert stethos(plant, "install", str(plant.folder / "pump.stethos")).exit_code == 0
    return plant.folder / "state"


def spoil(path: Path, damage: Damage) -> None:
    """Do this to the bytes of a file; None puts a folder in its place."""
    if damage is None:
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(damage(path.read_bytes()))


def stop_with_an_alarm(plant: Plant, state: Path) -> str:
    """Run until an alarm stands and everything is kept, then be killed while the alarm still waits for the broker; its key."""
    with plant.consumer() as consumer:
        plant.daemon.start()
        wait_until(lambda: all((state / file).exists() for file in KEPT), 15, "everything that is kept")
        plant.accel(20)
        plant.accel(5, FAULT)
        messages = consumer.wait_for(lambda messages: types(messages, "pump") == ["new"])
        plant.daemon.kill()
    return str(events(messages, "pump")[0]["id"])


def told(consumer: Subscriber) -> list[str]:
    """The reasons at the state folder, once there are any."""
    health = wait_health(consumer, lambda health: any(each["where"] == "state" for each in health["reasons"]))
    return [each["what"] for each in health["reasons"] if each["where"] == "state"]


def ends(plant: Plant, consumer: Subscriber, alarm: str) -> bool:
    """Whether the alarm that stood before the restart is the one that ends after it."""
    plant.accel(40)
    messages = consumer.wait_for(lambda messages: "end" in types(messages, "pump"), 20)
    return {event["id"] for event in events(messages, "pump")} == {alarm}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_with_a_damaged_book_of_configurations_the_operators_file_runs_and_no_alarm_is_lost(
    plant: Plant, state: Path, damage: Damage
) -> None:
    alarm = stop_with_an_alarm(plant, state)
    spoil(state / BOOK, damage)
    spoil(state / f"{BOOK}{COPY}", damage)
    with plant.consumer() as consumer:
        plant.daemon.start()
        assert f"{BOOK} was damaged, and lies aside as {BOOK}{DAMAGED}" in told(consumer)[-1]
        assert (state / f"{BOOK}{DAMAGED}").exists()
        wait_until(lambda: "config_reverted" in security(consumer), 15, "it is told and written into the journal")
        wait_until(lambda: "[agent]" in (kept(state) or ""), 15, "the configuration is kept anew")
        assert ends(plant, consumer, alarm)
    assert plant.daemon.terminate() == 0


def test_one_damaged_file_of_each_kind_costs_nothing(plant: Plant, state: Path) -> None:
    alarm = stop_with_an_alarm(plant, state)
    files = [state / name for name in KEPT]
    sound = [json.loads(file.read_bytes()) for file in files]
    for file in files:
        file.write_bytes(file.read_bytes()[:-10])
    with plant.consumer() as consumer:
        plant.daemon.start()
        wait_health(consumer, lambda health: sum(each["where"] == "state" for each in health["reasons"]) == len(files))
        assert sorted(what.partition(" ")[0] for what in told(consumer)) == sorted(file.name for file in files)
        assert [json.loads(file.read_bytes()) for file in files] == sound
        assert ends(plant, consumer, alarm)
    assert plant.daemon.terminate() == 0


def security(consumer: Subscriber) -> list[str]:
    return [json.loads(payload)["event"] for payload in consumer.payloads("stethos/line-3/security")]


def kept(state: Path) -> str | None:
    """The text that the agent would fall back to."""
    good = json.loads((state / BOOK).read_bytes())["document"]["good"]
    return None if good is None else str(good["text"])
