"""One story in which a real daemon says everything that it can say; run as a program, it writes the schemas' examples.

`python -m tests.e2e.contract_story` after a message has changed, then `scripts/contract`.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import paho.mqtt.publish

from agent.bundles.store import locked_store
from agent.config.partial import check_for_bundles
from agent.rollout.offline import Offline
from tests.e2e.plant import FAULT, Plant, events, types
from tests.harness import schemas
from tests.harness.agent_folder import contract, energy_bundle
from tests.harness.broker import Received, wait_until
from tests.harness.proxy import Proxy

MIDNIGHT_NS = 1_760_054_400_000_000_000  # the next after the plant's beginning
BY = {"by": "J. Roe", "comment": "on my way"}
REQUESTS: list[tuple[str, dict[str, object]]] = [
    ("alarms.list", {}),
    ("alarms.past", {"machine": "pump"}),
    ("alarms.ack", {"machine": "pump", **BY}),
    ("alarms.judge", {"machine": "pump", "verdict": "true", "by": "J. Roe", "comment": "the bearing is worn"}),
    ("alarms.shelve", {"machine": "motor", "for": "8h", **BY}),
    ("alarms.unshelve", {"machine": "motor", **BY}),
    ("alarms.remove", {"machine": "motor", "point": "model", **BY}),
    ("alarms.return", {"machine": "motor", **BY}),
    ("alarms.history", {"limit": 5}),
    ("bundle.list", {}),
    ("bundle.shadow", {"bundle": "motor", **BY}),
    ("bundle.shadow", {"bundle": "motor", "by": "J. Roe", "stop": True}),
    ("bundle.activate", {"bundle": "motor", **BY}),
    ("bundle.promote", {"bundle": "motor", **BY}),
    ("bundle.rollback", {"bundle": "motor", **BY}),
    ("config.get", {}),
    ("health.get", {}),
    ("commands.list", {}),
]


def ask(plant: Plant, command: str, fields: dict[str, object]) -> None:
    topic = f"stethos/line-3/request/{command}"
    paho.mqtt.publish.single(topic, json.dumps(fields), qos=1, hostname=plant.broker.host, port=plant.broker.port)


def documents(messages: list[Received]) -> list[dict[str, Any]]:
    """What the agent said; availability is plain text."""
    return [
        json.loads(message.payload)
        for message in messages
        if not message.topic.endswith("/availability") and "/request/" not in message.topic
    ]


def responses(messages: list[Received]) -> list[dict[str, Any]]:
    return [json.loads(message.payload) for message in messages if "/response/" in message.topic]


def keep_two_releases(plant: Plant) -> None:
    """The motor is watched by the newer of two releases that the box keeps."""
    text = plant.daemon.config.read_text()
    plant.daemon.config.write_text(text.replace('bundle = "motor.stethos"', 'bundle = "motor"'))
    desk = check_for_bundles(plant.daemon.config)
    for number in (1, 2):
        file = plant.folder / f"motor-{number}.stethos"
        file.write_bytes(
            energy_bundle(contract(("current", "A")), name="motor", version=f"{number}.0.0", counter=number)
        )
        with locked_store(desk.state) as store:
            Offline(store, desk.prover, "J. Roe").install(file)


def gap_on_disk(plant: Plant) -> bool:
    """Whether the outbox was too full for all that it was given; the database is the daemon's alone."""
    files = [plant.folder / "state" / name for name in ("outbox.db-wal", "outbox.db")]
    return any(path.exists() and b"stethos/line-3/gap" in path.read_bytes() for path in files)


def tell(folder: Path) -> list[Received]:
    """Alarms raised, updated, judged and ended, one like another, health, summaries of intervals and a day, answers to requests, and a gap after the broker was away for long."""
    with Plant(folder) as plant, Proxy(plant.broker.port) as cable, plant.consumer() as consumer:
        plant.write_config(upstream_port=cable.port)
        text = plant.daemon.config.read_text().replace('summary_every = "10s"', 'summary_every = "1s"')
        text = text.replace("acknowledge = false", "acknowledge = true", 1)
        plant.daemon.config.write_text(f'{text}\n[outbox]\nmax_bytes = 1_048_576\n[commands]\nmqtt = ["*"]\n')
        keep_two_releases(plant)
        plant.daemon.start()
        plant.accel(20)
        plant.accel(62, FAULT)
        plant.accel(5, 2 * FAULT)
        consumer.wait_for(lambda messages: len(events(messages, "pump")) == 2)
        for number, (command, fields) in enumerate(REQUESTS):
            ask(plant, command, fields | {"transaction": number})
        consumer.wait_for(lambda messages: len(responses(messages)) == len(REQUESTS), 60)
        plant.accel(20)
        consumer.wait_for(lambda messages: types(messages, "pump") == ["new", "end"])
        plant.accel(5, FAULT)
        plant.accel(20)
        consumer.wait_for(lambda messages: types(messages, "pump") == ["new", "end", "new"])
        plant.skip_to(MIDNIGHT_NS)
        plant.accel(5)
        consumer.wait_for(lambda messages: any(message.topic.endswith("/summary/day") for message in messages))
        cable.cut()
        for _ in range(16):
            plant.accel(50)
        wait_until(lambda: gap_on_disk(plant), 60, "losses, while the broker is away")
        cable.plug()
        return consumer.wait_for(lambda messages: any(message.topic.endswith("/gap") for message in messages), 60)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        bodies = documents(tell(Path(folder)))
    told = {schemas.name_of(body): body for body in bodies}
    told["alarm"] = [body for body in bodies if body.get("type") == "new"][-1]
    told["summary"] = next(body for body in bodies if body.get("period") == "day")
    told["alarms"] = next(body for body in bodies if body["schema"] == "stethos.alarms/1" and body["alarms"])
    told["security"] = next(body for body in bodies if body.get("event") == "bundle_activated")
    told["response"] = next(body for body in bodies if body.get("command") == "alarms.ack")
    for name, body in told.items():
        (schemas.FOLDER / "examples" / f"{name}.json").write_text(json.dumps(body, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
