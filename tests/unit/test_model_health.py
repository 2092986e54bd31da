"""What is said of a model that cannot run, runs on less than was configured, or is slower than its bundle promises."""

from __future__ import annotations

from typing import Any

import pytest

from agent.decide.achieved import FalseAlarms
from agent.decide.drift import Drift
from agent.health import AgentHealth, CalibrationHealth, MachineHealth, Reason, agent_health, model_reasons, status_line
from agent.infer.bundle import open_bundle
from agent.infer.loading import load
from agent.infer.model_health import ModelHealth, model_health
from agent.infer.settings import InferenceSettings
from agent.sensors.faults import State
from agent.types import NANOSECONDS
from tests.harness.bundles import PUBLIC, tiny_bundle

CUDA = "CUDAExecutionProvider"


def model(**changes: Any) -> ModelHealth:
    sound: dict[str, Any] = {
        "provider": CUDA,
        "variant": "fp32",
        "degraded": None,
        "failure": None,
        "operators": {CUDA: 7},
        "on_cpu": {},
        "median_ms": 2.0,
        "worst_ms": 5.0,
        "promised_ms": 2.0,
        "tuning": "not tuned",
        "counters": {},
    }
    return ModelHealth(**(sound | changes))


@pytest.mark.parametrize(
    "changes", [{}, {"promised_ms": None}, {"median_ms": None, "worst_ms": None}, {"worst_ms": 99.0}]
)
def test_a_sound_model_is_no_reason(changes: dict[str, Any]) -> None:
    assert model_reasons("pump", model(**changes)) == []


@pytest.mark.parametrize(
    ("changes", "state", "what"),
    [
        ({"failure": "the model's process was ended by SIGSEGV"}, State.FAILURE, "SIGSEGV"),
        ({"degraded": "degraded: running on the CPU"}, State.OUT_OF_SPECIFICATION, "running on the CPU"),
        ({"median_ms": 2.01}, State.OUT_OF_SPECIFICATION, "one window takes 2.01 ms, its bundle promises 2 ms"),
    ],
)
def test_each_thing_that_is_wrong_is_a_reason_with_a_remedy(changes: dict[str, Any], state: State, what: str) -> None:
    [reason] = model_reasons("pump", model(**changes))
    assert (reason.state, reason.where) == (state, "machine pump")
    assert what in reason.what
    assert reason.remedy


def test_it_is_read_from_what_is_loaded() -> None:
    loaded = load(open_bundle(tiny_bundle(), [PUBLIC]), InferenceSettings(device="cuda"))
    found = model_health(loaded, 1e-9)
    assert (found.provider, found.variant, found.tuning) == ("CPUExecutionProvider", "fp32", "not tuned")
    assert found.operators == {"CPUExecutionProvider": 3}
    assert found.on_cpu == {}
    assert model_reasons("pump", found)[0].what.startswith("degraded")
    assert len(model_reasons("pump", found)) == 2, "it is slower than a picosecond, too"


def health(reasons: list[Reason], degraded: str | None) -> AgentHealth:
    calibration = CalibrationHealth(basis="bundle", hours=1.0, factor=1.0, more_hours=0.0)
    machine = MachineHealth(
        false_alarms=FalseAlarms(0.1, 3_600 * NANOSECONDS, "b").report(),
        drift=Drift(largest=None, shifted=[], looks=0),
        unknown_state=0.0,
        adapted=None,
        calibration=calibration,
        model=model(degraded=degraded),
    )
    return agent_health(
        reasons=reasons, versions={}, provider=None, uptime_ns=0, flow={}, counters={}, machines={"pump": machine}
    )


def test_systemd_is_told_the_state_the_worst_reason_and_every_model_that_is_degraded() -> None:
    degraded = "degraded: running on the CPU"
    worst = Reason(State.FAILURE, "outbox", "the disk is full", "free space")
    slow = Reason(State.OUT_OF_SPECIFICATION, "machine pump", degraded, "check the driver")
    other = Reason(State.OUT_OF_SPECIFICATION, "upstream", "not reached", "check the network")
    assert status_line(health([], None)) == "ok"
    assert status_line(health([other], None)) == "out_of_specification: upstream: not reached"
    told = status_line(health([other, slow, worst], degraded))
    assert told == "failure: outbox: the disk is full; machine pump: degraded: running on the CPU"
