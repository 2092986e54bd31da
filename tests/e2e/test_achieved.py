"""The rate of false alarms that the real daemon publishes beside the budget: operators' verdicts count, and a restart forgets nothing."""

from __future__ import annotations

import json

from tests.e2e.plant import FAULT, Plant, events, types, wait_health
from tests.harness.broker import Received
from tests.harness.command_line import stethos


def summaries(messages: list[Received]) -> list[dict]:
    return [json.loads(each.payload) for each in messages if each.topic == "stethos/line-3/machine/pump/summary"]


def test_an_alarm_counts_as_false_until_an_operator_says_that_it_was_true(plant: Plant) -> None:
    config = plant.daemon.config
    config.write_text(config.read_text().replace("acknowledge = false", "acknowledge = true"))
    with plant.consumer() as consumer:
        plant.daemon.start()
        plant.accel(20)
        plant.accel(5, FAULT)
        plant.accel(20)
        messages = consumer.wait_for(lambda sent: types(sent, "pump") == ["new"])
        counted = wait_health(consumer, lambda health: health["machines"]["pump"]["false_alarms"]["raised"] == 1)
        before = counted["machines"]["pump"]["false_alarms"]
        assert (before["confirmed_true"], before["verdict"]) == (0, "exceeded")
        assert before["low_per_hour"] > before["budget_per_hour"] > 0
        assert [each["where"] for each in counted["reasons"] if "false alarms" in each["what"]] == ["machine pump"]
        assert counted["machines"]["pump"]["calibration"]["basis"] == "bundle"

        alarm = events(messages, "pump")[0]["id"]
        given = ("--true", "--by", "ann", "--comment", "bearing", "--config", config)
        acknowledged = stethos("alarms", "ack", alarm, *given)
        assert acknowledged.exit_code == 0, acknowledged.output
        after = wait_health(consumer, lambda health: health["machines"]["pump"]["false_alarms"]["confirmed_true"] == 1)
        assert after["machines"]["pump"]["false_alarms"]["verdict"] == "unsure"
        assert not [each for each in after["reasons"] if "false alarms" in each["what"]]

        assert plant.daemon.terminate() == 0, plant.daemon.log
        consumer.wait_for(lambda sent: summaries(sent)[-1]["false_alarms"]["confirmed_true"] == 1)
        plant.daemon.start()
        again = wait_health(consumer, lambda health: health["boot_id"] != after["boot_id"])
        kept = again["machines"]["pump"]["false_alarms"]
        assert (kept["raised"], kept["confirmed_true"]) == (1, 1)
        assert kept["hours"] >= after["machines"]["pump"]["false_alarms"]["hours"] > 0
