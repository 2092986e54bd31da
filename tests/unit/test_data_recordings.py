"""Recordings of the daemon as training data: the windows are those that its pipeline cut when it recorded them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agent.assembly import LATENESS_NS
from agent.decode.decoder import Decoder
from agent.decode.profile import parse_profile
from agent.errors import ConfigError
from agent.sensors.watch import SensorWatch
from agent.types import Chunk, Window
from agent.window.aligner import Aligner
from agent.window.contract import Contract
from export import data, dataset, windows
from export.data import Recordings
from tests.harness.profiles import profile_text
from tests.harness.recordings import files, write

START_NS = 1_700_000_000_000_000_000
FAST = profile_text(
    """framing = { kind = "lines" }
csv = { columns = ["t", "x", "y"] }
time = { kind = "device", field = "t", unit = "ms" }
channel = [{ name = "x", unit = "[g]", noise = 1.0, resolution = 0.1 }, { name = "y", unit = "[g]", scale = 0.5 }]""",
    rate_hz=10.0,
)
SLOW = profile_text(
    """framing = { kind = "message" }
json = { fields = { temp = "temp" } }
time = { kind = "arrival" }
channel = [{ name = "temp", unit = "Cel" }]""",
    transport="mqtt",
    rate_hz=1.0,
)
TOML = """
name = "d"
rate_hz = 10.0
hold_cells = 12
[[device]]
id = "fast"
profile = "fast.toml"
[[device]]
id = "slow"
profile = "slow.toml"
[[channel]]
name = "y"
unit = "[g]"
column = "fast.y"
[[channel]]
name = "slow.temp"
unit = "Cel"
[[channel]]
name = "x"
unit = "[g]"
column = "fast.x"
[[run]]
file = "recording"
role = "train"
"""


def steps(seconds: int, from_second: int = 0) -> list[list[Chunk]]:
    """Steps of a tenth of a second; x is stuck in second 7, and one line is broken."""
    rng = np.random.default_rng(from_second)
    found = [[Chunk("fast", b"\n", START_NS)]]
    for tenth in range(10 * from_second, 10 * (from_second + seconds)):
        t_ns = START_NS + tenth * 100_000_000
        x = 3.0 if 70 <= tenth < 80 else round(rng.normal(), 1)
        line = f"{t_ns // 1_000_000},{x},{tenth}\n" if tenth != 33 else "1700\n"
        step = [Chunk("fast", line.encode(), t_ns + 2_000_000)]
        if tenth % 10 == 0:
            step.append(Chunk("slow", b'{"temp": %d}' % tenth, t_ns + 3_000_000))
        found.append([*step, Chunk("stranger", b"?", t_ns)])
    return found


def by_the_pipeline(recorded: list[list[Chunk]], terms: Contract) -> list[Window]:
    """Its stages up to the windows, one step after another."""
    profiles = {"fast": parse_profile(FAST, "fast"), "slow": parse_profile(SLOW, "slow")}
    decoders = {device: Decoder(profile, device) for device, profile in profiles.items()}
    watches = {device: SensorWatch(profile) for device, profile in profiles.items()}
    aligner = Aligner("m", terms, {"fast": [(1, 0), (0, 2)], "slow": [(0, 1)]}, LATENESS_NS)
    found: list[Window] = []
    for step in recorded:
        for device in profiles:
            batch = decoders[device].feed([chunk for chunk in step if chunk.device == device])
            if batch is not None:
                found += aligner.add(watches[device].inspect(batch))
    return found


def read(folder: Path, toml: str = TOML) -> Recordings:
    (folder / "fast.toml").write_text(FAST)
    (folder / "slow.toml").write_text(SLOW)
    (folder / "d.toml").write_text(toml)
    return data.read(dataset.load(folder / "d.toml"))


def test_windows_are_those_of_the_pipeline_session_by_session(tmp_path: Path) -> None:
    sessions = [steps(30), steps(20, from_second=100)]
    for recorded in sessions:
        write(tmp_path / "recording", recorded)
    recordings = read(tmp_path)
    assert [run.name for run in recordings.runs] == ["recording#1", "recording#2"]
    terms = dataset.load(tmp_path / "d.toml").dataset.contract(15, 3)
    for run, recorded in zip(recordings.runs, sessions, strict=True):
        found, expected = windows.cut(run, terms), by_the_pipeline(recorded, terms)
        known = [window for window in expected if window.unknown is None]
        assert len(known) > 20
        np.testing.assert_array_equal(found.end_ns, [window.end_ns for window in known])
        np.testing.assert_array_equal(found.values, [window.values for window in known])
        assert found.unknown == len(expected) - len(known)


def test_what_the_sensors_watch_flagged_is_masked_and_reported(tmp_path: Path) -> None:
    write(tmp_path / "recording", steps(30))
    fast, slow = read(tmp_path).report.runs[0].streams
    assert (fast.samples, fast.broken_frames, slow.samples, slow.rate_hz) == (299, 1, 30, 1.0)
    by_name = {channel.name: channel for channel in fast.channels}
    assert by_name["x"].flagged["stuck"] > 0
    assert by_name["y"].flagged == {}
    assert by_name["y"].maximum == 149.5


def test_a_recording_is_split_by_time_and_its_digest_follows_its_bytes(tmp_path: Path) -> None:
    write(tmp_path / "recording", steps(30))
    whole = read(tmp_path)
    early = read(tmp_path, TOML + "to = 2023-11-14T22:13:30Z\n").runs[0]
    assert int(early.t_ns.max()) < START_NS + 10_000_000_000
    segment = files(tmp_path / "recording")[0]
    segment.write_bytes(segment.read_bytes()[:-1])
    assert read(tmp_path).sha256 != whole.sha256


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('"fast.y"', '"fast.z"', "did you mean 'fast.y'"),
        ('unit = "Cel"', 'unit = "K"', "comes in 'Cel', and the box will not convert it"),
        ('"slow.toml"', '"slwo"', "there is no profile 'slwo'"),
        ('file = "recording"', 'file = "."', "there is no recording in"),
        ('role = "train"', 'role = "train"\nlabel = "y"', "a device sends no labels"),
        ('column = "fast.x"', 'column = "fast.x"\nnoise = 1.0', "the device's profile says that"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, before: str, after: str, message: str) -> None:
    write(tmp_path / "recording", steps(3))
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, TOML.replace(before, after, 1))
