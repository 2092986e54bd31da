"""A machine against its devices and its model: every misfit is named, and what only just fits is a warning."""

from __future__ import annotations

import pytest

from agent.config.check import check
from agent.config.checked import ChannelRef
from tests.harness.agent_folder import CONTRACT, DRIVE, AgentFolder, Spoil, contract, energy_bundle

ONE_PROBLEM: dict[str, tuple[Spoil, str]] = {
    "no rate": (
        lambda a: a.replace("1 per week", "never"),
        "agent.toml:28: machine[0].false_alarms: 'never' is no rate above zero; write one like '1 per month' or '2 per week'",
    ),
    "clear factor": (
        lambda a: a.replace("1 per week", '1 per week"\nclear_factor = 0.5\npriority = "high'),
        "agent.toml:29: machine[0].clear_factor: 0.5 is below 1 (10 is usual; 1 means no hysteresis)",
    ),
    # channels
    "reference without a channel": (
        lambda a: a.replace('"accel.y"', '"accel"'),
        "agent.toml:27: machine[0].channels[1]: 'accel' names no channel of a device (write DEVICE.CHANNEL)",
    ),
    "unknown device": (
        lambda a: a.replace('"accel.y"', '"acel.y"'),
        "agent.toml:27: machine[0].channels[1]: 'acel.y': there is no device 'acel' (did you mean 'accel'?)",
    ),
    "unknown channel": (
        lambda a: a.replace('"accel.y"', '"accel.tmp"'),
        "agent.toml:27: machine[0].channels[1]: the device 'accel' has no channel 'tmp' (did you mean 'temp'?)",
    ),
    "order": (
        lambda a: a.replace('"accel.x", "accel.y"', '"accel.y", "accel.x"'),
        (
            "agent.toml:27: machine[0].channels: the channels are not in the order of the model's contract "
            '(write channels = ["accel.x", "accel.y", "drive.current"])'
        ),
    ),
    "another channel": (
        lambda a: a.replace('"accel.y"', '"accel.temp"'),
        (
            "agent.toml:27: machine[0].channels: the model lacks y and has no use for accel.temp "
            "(it was trained on x, y, current, in this order)"
        ),
    ),
    "a channel twice": (
        lambda a: a.replace('"accel.y"', '"accel.x", "accel.y"'),
        (
            "agent.toml:27: machine[0].channels: the model takes each channel once, found accel.x, accel.x, accel.y, drive.current "
            "(it was trained on x, y, current, in this order)"
        ),
    ),
    "unit": (
        lambda a: a.bundle(energy_bundle(contract(("x", "[g]"), ("y", "m/s2"), ("current", "A")))),
        (
            "agent.toml:27: machine[0].channels[1]: 'accel.y' is in '[g]', the model was trained on 'm/s2' "
            "(convert it in the profile (scale and unit), or train again)"
        ),
    ),
    "rate": (
        lambda a: a.profile("drive-json", DRIVE.replace("rate_hz = 100.0", "rate_hz = 20.0")),
        (
            "agent.toml:27: machine[0].channels: the device 'drive' samples at 20 Hz, the model needs 100 Hz "
            "(make the device faster, or train a model for its rate)"
        ),
    ),
}


@pytest.mark.parametrize(("spoil", "expected"), ONE_PROBLEM.values(), ids=ONE_PROBLEM)
def test_a_mistake_has_its_own_message_at_its_own_line(agent: AgentFolder, spoil: Spoil, expected: str) -> None:
    spoil(agent)
    assert agent.problems() == [expected]


def test_channels_may_be_meant_by_their_full_names(agent: AgentFolder) -> None:
    agent.bundle(energy_bundle(contract(("accel.x", "[g]"), ("y", "[g]"), ("drive.current", "A"))))
    assert check(agent.config).machines["pump-1"].channels[2] == ChannelRef("drive", "current", 0)


@pytest.mark.parametrize(("rate_hz", "hold_cells"), [(1_000.0, 0), (50.0, 1), (30.0, 3), (20.0, 4)])
def test_a_slower_device_is_fine_where_the_contract_holds_its_values(
    agent: AgentFolder, rate_hz: float, hold_cells: int
) -> None:
    agent.profile("drive-json", DRIVE.replace("rate_hz = 100.0", f"rate_hz = {rate_hz}"))
    agent.bundle(energy_bundle(contract(("x", "[g]"), ("y", "[g]"), ("current", "A"), hold_cells=hold_cells)))
    assert check(agent.config).warnings == ()


def test_a_device_that_is_slower_by_a_little_is_a_warning(agent: AgentFolder) -> None:
    agent.profile("drive-json", DRIVE.replace("rate_hz = 100.0", "rate_hz = 99.6"))
    [warning] = check(agent.config).warnings
    assert "samples at 99.6 Hz, the model needs 100 Hz; one cell in 250 will be empty" in str(warning)


@pytest.mark.parametrize(("rate_hz", "hold_cells"), [(94.0, 0), (49.0, 1), (30.0, 2)])
def test_a_device_that_leaves_cells_empty_is_refused(agent: AgentFolder, rate_hz: float, hold_cells: int) -> None:
    agent.profile("drive-json", DRIVE.replace("rate_hz = 100.0", f"rate_hz = {rate_hz}"))
    agent.bundle(energy_bundle(contract(("x", "[g]"), ("y", "[g]"), ("current", "A"), hold_cells=hold_cells)))
    [problem] = agent.problems()
    assert f"samples at {rate_hz:g} Hz" in problem


def test_a_budget_that_the_calibration_does_not_support_is_a_warning_with_the_hours_that_are_missing(
    agent: AgentFolder,
) -> None:
    agent.bundle(energy_bundle(CONTRACT, hours=10.0))
    [warning] = check(agent.config).warnings
    assert "machine[0].false_alarms: 10 h of normal operation are too little for '1 per week'" in str(warning)
    assert "some 13 h more would bring it to 3" in str(warning)
    agent.bundle(energy_bundle(CONTRACT, hours=23.0))
    assert check(agent.config).warnings == ()


def test_a_calibration_on_no_data_at_all_supports_no_budget(agent: AgentFolder) -> None:
    agent.bundle(energy_bundle(CONTRACT, hours=0.0))
    [warning] = check(agent.config).warnings
    assert "0 h of normal operation are too little" in str(warning)
