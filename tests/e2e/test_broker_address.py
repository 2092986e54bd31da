"""The broker's name gets another address, on a line that is not encrypted: the agent follows, and says that the line is in the clear."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.plant import FAULT, Plant, types, wait_health
from tests.harness.broker import Broker, Subscriber
from tests.harness.names import Names

NAME = "broker.plant"
PLAINTEXT = "\nallow_plaintext = true"


def configure(plant: Plant, more: str) -> None:
    """With the upstream under its name, which is none of this machine's as far as the agent can know."""
    plant.write_config(plant.broker.port)
    file = plant.folder / "agent.toml"
    upstream = f'broker = "mqtt://127.0.0.1:{plant.broker.port}"\n'
    file.write_text(file.read_text().replace(upstream, f'broker = "mqtt://{NAME}:{plant.broker.port}"{more}\n', 1))


def test_the_agent_follows_its_broker_to_another_address_and_says_that_nothing_is_encrypted(
    plant: Plant, tmp_path: Path
) -> None:
    names = Names(tmp_path, NAME, "127.0.0.1")
    plant.daemon.under = names.under
    configure(plant, PLAINTEXT)
    plant.daemon.start()
    with plant.consumer() as consumer:
        plant.accel(20)
        health = wait_health(
            consumer, lambda health: any("not encrypted" in reason["what"] for reason in health["reasons"])
        )
        assert health["state"] != "ok"
    plant.broker.kill()
    plant.accel(5, FAULT)
    (elsewhere := tmp_path / "elsewhere").mkdir()
    with (
        Broker(elsewhere, port=plant.broker.port, host="127.0.0.2") as moved,
        Subscriber(moved.host, moved.port, "stethos/#") as consumer,
    ):
        names.move("127.0.0.2")
        consumer.wait_for(lambda messages: types(messages, "pump") == ["new"], 60.0)
    assert plant.daemon.running


def test_a_line_in_the_clear_must_be_asked_for(plant: Plant) -> None:
    configure(plant, "")
    with pytest.raises(AssertionError, match="allow_plaintext = true"):
        plant.daemon.start()
