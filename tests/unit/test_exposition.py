"""What Prometheus reads: our text by its own parser, the names by its conventions, and no word of a reason or a secret."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from agent.exposition.families import families
from agent.exposition.text import Family, render
from agent.health import AgentHealth, Reason, agent_health, device_health
from agent.metrics import Balance
from agent.sensors.faults import Fault, State
from agent.sensors.watch import ChannelState

LINK = {
    "bytes": 4_000,
    "frames": 40,
    "samples": 39,
    "checksum_errors": 1,
    "lost": 2,
    "reopens": 0,
    "bytes_dropped": 7,
    "unborn": 3,
    "exception_2": 4,
    "drift_ppm": 12.5,
    "time_uncertainty_ms": 0.25,
}


def own() -> AgentHealth:
    return agent_health(
        reasons=[Reason(State.MAINTENANCE_REQUIRED, "upstream", "hunter2 is refused", "")],
        versions={"stethos": "0.1", "python": "3.11.2", "onnxruntime": "1.31"},
        provider=None,
        uptime_ns=1_500_000_000,
        flow={"buffer": Balance(10, 7, 2, 1)},
        counters={"windows": 5, "link_sent": 6},
    )


def read(data: bytes) -> dict[str, dict[tuple[str, ...], float]]:
    """By the name of a sample its values by their labels' texts, in the order of the labels' names."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(data.decode()):
        assert family.documentation
        assert family.type in ("counter", "gauge")
        for sample in family.samples:
            key = tuple(text for _, text in sorted(sample.labels.items()))
            values = found.setdefault(sample.name, {})
            assert key not in values, (sample.name, key)
            values[key] = sample.value
    return found


def metrics() -> dict[str, dict[tuple[str, ...], float]]:
    sound = device_health(
        "accel",
        link_failure=None,
        silent_ns=500_000_000,
        silent_after_ns=10**9,
        undecoded_ns=0,
        faults=(),
        channels={"x": ChannelState(State.FAILURE, (Fault.STUCK,), 3)},
        actions={},
        link=LINK,
    )
    mute = device_health(
        "drive",
        link_failure="no route",
        silent_ns=None,
        silent_after_ns=10**9,
        undecoded_ns=0,
        faults=(),
        channels={},
        actions={},
        link={"bytes": 0, "drift_ppm": None},
    )
    return read(render(families("line-3", own(), {"accel": sound, "drive": mute})))


def test_link_statistics_carry_their_device_and_base_units() -> None:
    found = metrics()
    assert found["stethos_device_received_bytes_total"] == {("accel",): 4_000, ("drive",): 0}
    assert found["stethos_device_frames_total"] == {("accel",): 40}
    assert found["stethos_device_lost_samples_total"] == {("accel",): 2}
    assert found["stethos_device_dropped_bytes_total"] == {("accel",): 7}
    assert found["stethos_device_clock_drift_ratio"] == {("accel",): pytest.approx(12.5e-6)}
    assert found["stethos_device_time_uncertainty_seconds"] == {("accel",): pytest.approx(0.25e-3)}
    assert found["stethos_device_silence_seconds"] == {("accel",): 0.5}
    assert found["stethos_device_events_total"] == {("accel", "unborn"): 3, ("accel", "exception_2"): 4}


def test_states_are_one_series_each_and_one_of_them_is_1() -> None:
    found = metrics()
    of_accel = {state: value for (device, state), value in found["stethos_device_state"].items() if device == "accel"}
    assert of_accel == {state: float(state == "failure") for state in State}
    assert {state for (state,), value in found["stethos_state"].items() if value} == {"maintenance_required"}
    assert found["stethos_channel_faults"] == {("x", "accel"): 1}
    assert found["stethos_channel_fault_changes_total"] == {("x", "accel"): 3}


def test_the_agent_and_its_stages() -> None:
    found = metrics()
    assert found["stethos_build_info"] == {("line-3", "1.31", "", "3.11.2", "0.1"): 1}
    assert found["stethos_uptime_seconds"] == {(): 1.5}
    assert found["stethos_events_total"] == {("link_sent",): 6, ("windows",): 5}
    flow = {name: found[f"stethos_stage_{name}"] for name in ("entered_total", "left_total", "dropped_total", "held")}
    assert flow == {
        "entered_total": {("buffer",): 10},
        "left_total": {("buffer",): 7},
        "dropped_total": {("buffer",): 1},
        "held": {("buffer",): 2},
    }


def test_names_are_by_the_conventions_and_no_reason_is_told() -> None:
    text = render(families("line-3", own(), {})).decode()
    assert "hunter2" not in text
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE):
        assert re.fullmatch(r"stethos(_[a-z]+)+", name)
        assert name.endswith("_total") == (kind == "counter")


def test_a_family_without_samples_is_not_told() -> None:
    assert render([Family("empty", "gauge", "Nothing.")]) == b""


@given(
    st.text(st.characters(exclude_categories=("Cs",)), max_size=30),
    st.one_of(st.integers(-(2**53), 2**53), st.floats(allow_nan=False)),
)
def test_any_text_in_a_label_and_any_number_come_back(text: str, value: float) -> None:
    family = Family("some_metric", "gauge", "Back\\slash and\nline.")
    family.add(value, label=text)
    [parsed] = text_string_to_metric_families(render([family]).decode())
    [sample] = parsed.samples
    assert (sample.labels, sample.value) == ({"label": text}, value)
