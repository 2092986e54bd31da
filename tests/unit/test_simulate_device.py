"""A simulated device: the same seed the same bytes, however it is read; each fault where it is seen; channels by clear rules."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.decode.decoder import Decoder
from agent.decode.profile import Profile
from agent.decode.schema import Channel
from agent.errors import ConfigError
from agent.simulate.blocks import Blocks
from agent.simulate.channels import Feed
from agent.simulate.device import Device, samples
from agent.simulate.motor import Motor
from agent.simulate.pump import Pump
from agent.simulate.schedule import Schedule, parse_schedule
from agent.simulate.sensor import SensorFaults
from agent.types import NANOSECONDS, Batch, Chunk
from tests.harness.profiles import make, shipped, shipped_names

START_NS = 1_760_000_000_000_000_000
S = NANOSECONDS

PUMP = """
framing = { kind = "cobs", max_frame_bytes = 128 }
checksum = { name = "crc16-modbus" }
sequence = { field = "n" }
time = { kind = "counter" }
channel = [
  { name = "pressure_out", unit = "kPa", minimum = 0.0, maximum = 1000.0 },
  { name = "q", unit = "m3/h" },
  { name = "winding_temperature", unit = "[degF]" },
  { name = "i", unit = "mA" },
  { name = "vibration", unit = "mm/s" },
]
[binary]
fields = [
  { name = "n", type = "u16" }, { name = "pressure_out", type = "f32" }, { name = "q", type = "f32" },
  { name = "winding_temperature", type = "f32" }, { name = "i", type = "f32" }, { name = "vibration", type = "f32" },
]
"""


def sent(
    profile: Profile,
    *faults: str,
    seconds: float = 10,
    seed: int = 0,
    model: str | None = None,
    data: Path | None = None,
) -> list[Chunk]:
    """What the device sends, a chunk a period."""
    schedule = parse_schedule(faults)
    device = Device(profile, samples(profile, schedule, seed, model, data), schedule, seed, "plant/device")
    chunks = []
    for offset_ns, parts in device.run(START_NS):
        if offset_ns >= seconds * S:
            break
        chunks += [Chunk("d", data, START_NS + offset_ns, topic) for topic, data in parts]
    return chunks


def decoded(profile: Profile, chunks: list[Chunk]) -> tuple[Batch, Decoder]:
    decoder = Decoder(profile, "d")
    batch = decoder.feed(chunks)
    assert batch is not None
    return batch, decoder


@pytest.mark.parametrize("model", [Motor, Pump])
@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(1, 3_000), min_size=1, max_size=8))
def test_a_model_gives_the_same_signal_however_it_is_read(model: type[Motor | Pump], cuts: list[int]) -> None:
    schedule = parse_schedule(["imbalance@1s+1s"])
    parts = Blocks(model(1_000.0, 5, schedule), 1_000.0)
    whole = Blocks(model(1_000.0, 5, schedule), 1_000.0).read(sum(cuts))
    assert np.array_equal(np.concatenate([parts.read(cut) for cut in cuts]), whole)


@pytest.mark.parametrize("model", [Motor, Pump])
def test_another_seed_is_another_signal_and_a_fault_changes_nothing_before_it(model: type[Motor | Pump]) -> None:
    def read(seed: int, *faults: str) -> np.ndarray:
        return Blocks(model(1_000.0, seed, parse_schedule(faults)), 1_000.0).read(3_000)

    assert not np.array_equal(read(1), read(2))
    assert np.array_equal(read(1)[:1_500], read(1, "imbalance@1500ms")[:1_500])
    assert not np.array_equal(read(1)[1_500:], read(1, "imbalance@1500ms")[1_500:])


@settings(max_examples=20, deadline=None)
@given(
    cuts=st.lists(st.integers(1, 400), min_size=1, max_size=6),
    kind=st.sampled_from(["stuck", "drift", "spike", "clipping"]),
)
def test_sensor_faults_do_not_depend_on_how_samples_are_cut(cuts: list[int], kind: str) -> None:
    channels = shipped("accel3-cobs").channel
    values = np.random.default_rng(0).standard_normal((sum(cuts), 4))
    schedule = parse_schedule([f"{kind}:y@100ms+500ms"])
    whole = SensorFaults(schedule, channels, 1_000.0, 0).apply(values)
    pieces = SensorFaults(schedule, channels, 1_000.0, 0)
    edges = np.cumsum([0, *cuts])
    cut = np.concatenate([pieces.apply(values[a:b]) for a, b in itertools.pairwise(edges)])
    assert np.array_equal(cut, whole)
    assert np.array_equal(whole[:, [0, 2, 3]], values[:, [0, 2, 3]])


def test_the_same_seed_sends_the_same_bytes() -> None:
    profile = shipped("accel3-cobs")
    faults = ["noise@1s", "spike:x@0s", "bearing-outer@1s"]
    first = sent(profile, *faults, seconds=2, seed=4, model="motor")
    assert first == sent(profile, *faults, seconds=2, seed=4, model="motor")
    assert first != sent(profile, *faults, seconds=2, seed=5, model="motor")


@pytest.mark.parametrize("name", shipped_names())
def test_every_shipped_profile_can_be_simulated_and_decoded(name: str) -> None:
    profile = shipped(name)
    periods = 3 * profile.frame_samples
    batch, decoder = decoded(profile, sent(profile, seconds=periods / profile.rate_hz))
    assert len(batch) > 0
    assert decoder.counters["decode_errors"] == decoder.counters["checksum_errors"] == 0
    assert decoder.counters["out_of_range"] == 0


def test_a_pump_is_seen_in_the_units_of_its_profile() -> None:
    profile = make(PUMP)
    batch, _ = decoded(profile, sent(profile, seconds=60, model="pump"))
    pressure, flow, temperature, current, vibration = batch.values.mean(axis=0)
    assert 300 < pressure < 500, "4 bar in kPa"
    assert 10 < flow < 14, "200 L/min in m3/h"
    assert 104 < temperature < 122, "40 to 50 degrees Celsius in Fahrenheit"
    assert 3_000 < current < 5_000, "4 A in mA"
    assert 1 < vibration < 3


@pytest.mark.parametrize(
    ("fault", "change"),
    [
        ("cavitation@30s", {"pressure_out": -1, "q": -1, "vibration": 1}),
        ("blocked-filter@30s", {"pressure_out": -1, "q": -1, "i": -1}),
        ("imbalance@30s", {"vibration": 1}),
    ],
)
def test_a_pumps_faults_move_what_they_move_in_life(fault: str, change: dict[str, int]) -> None:
    profile = make(PUMP)
    chunks = sent(profile, fault, seconds=120, model="pump")
    batch, _ = decoded(profile, chunks)
    healthy, _ = decoded(profile, sent(profile, seconds=120, model="pump"))
    after = slice(600, 1_200)
    for channel, sign in change.items():
        column = profile.channel_names.index(channel)
        shift = (batch.values[after, column] - healthy.values[after, column]).mean()
        assert sign * shift > 3 * healthy.values[:, column].std() / np.sqrt(600), channel


def test_quantities_of_a_running_pump_follow_each_other() -> None:
    names = [quantity.name for quantity in Pump.quantities]
    values = Blocks(Pump(10.0, 0, Schedule()), 10.0).read(20_000)
    correlation = np.corrcoef(values, rowvar=False)

    def of(one: str, other: str) -> float:
        return float(correlation[names.index(one), names.index(other)])

    assert of("flow", "current") > 0.8
    assert of("pressure", "flow") < -0.5, "along the pump's curve, as the valve moves"
    assert abs(of("vibration", "flow")) < 0.5


def test_each_link_fault_is_seen_in_the_decoders_counters() -> None:
    profile = shipped("accel3-cobs")

    def counters(*faults: str) -> Decoder:
        return decoded(profile, sent(profile, *faults, seconds=3, model="motor"))[1]

    clean, noise = counters(), counters("noise@1s+1s")
    assert clean.counters["samples"] == 3_000
    assert clean.counters["lost"] == clean.counters["resync_bytes"] == 0
    assert noise.counters["checksum_errors"] + noise.counters["decode_errors"] > 30
    assert noise.counters["resync_bytes"] > 500
    assert 50 < noise.counters["lost"] < 220
    assert noise.counters["samples"] + noise.counters["lost"] == 3_000
    loss = counters("loss@1s+1s")
    assert 50 < loss.counters["lost"] < 150
    assert loss.counters["resync_bytes"] == 0
    repeat = counters("repeat@1s+1s")
    assert 50 < repeat.counters["repeated"] < 150
    assert repeat.counters["lost"] == 0
    silence = counters("silence@1s+500ms")
    assert silence.counters["lost"] == 500


def test_each_sensor_fault_is_seen_in_the_values() -> None:
    profile = shipped("accel3-cobs")

    def x(*faults: str) -> np.ndarray:
        return decoded(profile, sent(profile, *faults, seconds=3, model="motor"))[0].values[:, 0]

    clean = x()
    assert len(np.unique(x("stuck:x@1s+1s")[1_000:2_000])) == 1
    assert len(np.unique(x("stuck:y@1s+1s")[1_000:2_000])) > 500, "another channel is not meant"
    assert (x("drift:x@0s") - clean)[-1] == pytest.approx(0.1 * 4.096 * 3 / 60, rel=0.01)
    assert (np.abs(x("spike:x@0s") - clean) > 1).mean() == pytest.approx(0.01, abs=0.005)
    clipped = x("clipping:x@0s")
    assert np.isclose(np.abs(clipped), 2.048, atol=1e-3).mean() < 0.5
    loud = decoded(profile, sent(profile, "clipping:x@0s", "imbalance@0s", seconds=3, model="motor"))[0].values[:, 0]
    assert np.isclose(np.abs(loud), 2.048, atol=1e-3).mean() > 0.5


def test_channels_that_no_quantity_feeds_are_named_with_what_there_is() -> None:
    with pytest.raises(ConfigError) as raised:
        Feed(shipped("pms5003").channel, Pump.quantities, "pump")
    assert "it gives pressure (bar), flow (L/min)" in str(raised.value)
    assert "--data" in str(raised.value)


def test_a_channel_takes_its_namesake_else_the_first_that_measures_the_same() -> None:
    channels = [Channel(name="probe_y", unit="m[g]"), Channel(name="probe", unit="m[g]"), Channel(name="t1", unit="K")]
    fed = Feed(channels, Motor.quantities, "motor").apply(np.arange(7.0)[None, :])
    assert fed[0].tolist() == pytest.approx([1_000.0, 0.0, 276.15])


@pytest.mark.parametrize(
    ("faults", "model", "why"),
    [
        (["cavitation@1s"], "motor", "add --model pump"),
        (["bearing-outer@1s"], None, "add --model motor"),
        (["stuck:w@1s"], "motor", "no such channel"),
    ],
)
def test_faults_that_nothing_can_show_are_refused(faults: list[str], model: str | None, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        sent(shipped("accel3-cobs"), *faults, model=model)


def test_a_motor_behind_a_slow_profile_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs 359 Hz"):
        sent(shipped("drive-json"), model="motor")


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_data_is_sent_row_by_row_and_then_it_ends(tmp_path: Path, suffix: str) -> None:
    profile, path = shipped("drive-json"), tmp_path / f"drive{suffix}"
    columns = {
        "current": [0.0, 1.5, 3.0],
        "temperature": [20.0, 21.0, 22.0],
        "speed": [0.0, -100.0, 100.0],
        "note": ["a"] * 3,
    }
    if suffix == ".parquet":
        pq.write_table(pa.table(columns), path)
    else:
        rows = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
        path.write_text("\n".join(rows) + "\n")
    batch, _ = decoded(profile, sent(profile, data=path))
    assert batch.values.tolist() == [[0.0, 0.0, 20.0], [1.5, -100.0, 21.0], [3.0, 100.0, 22.0]]
    assert np.diff(batch.t_ns).tolist() == [S // 10] * 2


def test_data_without_a_channel_is_refused(tmp_path: Path) -> None:
    (tmp_path / "drive.csv").write_text("current,speed\n1,2\n")
    with pytest.raises(ConfigError, match="no column temperature"):
        sent(shipped("drive-json"), data=tmp_path / "drive.csv")
