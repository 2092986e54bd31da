"""Commissioning from a recording: what it learns, what it refuses, who may use it, and what the machine's alarms become by it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

from agent.alarm_points import yardstick_of
from agent.config.partial import check_for_replay
from agent.decide import baseline
from agent.decide.calibration import Calibration
from agent.decide.commissioning import decode
from agent.decide.states import OperatingState, OperatingStates
from agent.decode.encode import Encoder
from agent.decode.profile import parse_profile
from agent.errors import ConfigError
from agent.infer.manifest import States
from agent.types import Chunk
from tests.e2e.plant import ACCEL, RATE_HZ, START_NS, STEP_NS
from tests.harness import recordings, small_plant
from tests.harness.agent_folder import contract, energy_bundle
from tests.harness.command_line import stethos

CONTRACT = contract(("x", "[g]"), ("y", "[g]"))
SECONDS = 300
SECOND = 1_000_000_000
STATES = """
[[machine.state]]
name = "off"
when = "[accel.y] < 15"
[[machine.state]]
name = "load"
when = "[accel.y] > 15"
"""


class Site:
    """A pump whose sensor x is mounted otherwise than where its model was trained: twice as sensitive, and tilted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "firmware_configs").mkdir()
        (folder / "firmware_configs" / "accel.toml").write_text(ACCEL)
        known = np.random.default_rng(1).standard_normal((500, 2, 32)).astype(np.float32)
        self.bundle(baseline=baseline.fit(known, RATE_HZ))
        self.configure("25 per hour")

    def bundle(self, **changes: object) -> None:
        (self.folder / "pump.stethos").write_bytes(energy_bundle(CONTRACT, **changes))

    def configure(self, budget: str, more: str = "") -> None:
        place = 'serial = { port = "ttyACCEL" }'
        machine = small_plant.machine("pump", "pump.stethos", ["accel.x", "accel.y"], more, false_alarms=budget)
        small_plant.write(self.folder, "mqtt://127.0.0.1:1", small_plant.device("accel", "accel", place), machine)

    @property
    def config(self) -> Path:
        return self.folder / "agent.toml"

    def record(self, name: str, values: np.ndarray) -> Path:
        """A recording of readings [n, 2], a chunk a second."""
        encoder, steps = Encoder(parse_profile(ACCEL, "accel.toml")), []
        for start in range(0, len(values), RATE_HZ):
            part = values[start : start + RATE_HZ].tolist()
            data = b"".join(encoder.frame(row, START_NS + (start + at) * STEP_NS) for at, row in enumerate(part))
            steps.append([Chunk("accel", data, START_NS + start * STEP_NS, monotonic_ns=start * STEP_NS)])
        recordings.write(self.folder / name, steps)
        return self.folder / name

    def commission(self, *arguments: object) -> Result:
        return stethos("commission", "pump", "--config", self.config, "--by", "ann", *arguments)

    def alarms(self, recording: Path) -> int:
        found = stethos("replay", recording, self.config, "--json", "--coarse")
        return json.loads(found.stdout.splitlines()[-1])["alarms"]

    @property
    def file(self) -> Path:
        return self.folder / "state" / "commissioning" / "pump.json"


def mounted(seed: int, seconds: int = SECONDS) -> np.ndarray:
    """What the sensors read on site in normal operation."""
    return np.random.default_rng(seed).standard_normal((seconds * RATE_HZ, 2)) * [2.0, 1.0] + [5.0, 0.0]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_a_machine_is_learnt_on_its_box_and_then_raises_alarms_for_faults_only(site: Site) -> None:
    normal, fresh = site.record("normal", mounted(1)), mounted(2, 60)
    faulty = fresh.copy()
    faulty[3_000:, 0] = 5 + 4 * (faulty[3_000:, 0] - 5)
    fresh_folder, faulty_folder = site.record("fresh", fresh), site.record("faulty", faulty)
    assert site.alarms(fresh_folder) > 0

    found = site.commission("--recording", normal, "--comment", "at rated load")
    assert found.exit_code == 0, found.output
    assert "support '25 per hour'" in found.output
    assert "accel.x: the model is shown 0." in found.output
    what = decode(site.file.read_bytes())
    assert (what.by, what.comment, what.machine) == ("ann", "at rated load", "pump")
    first, second = what.corrections
    assert (first.scale, first.offset) == pytest.approx((0.5, -2.5), abs=0.05)
    assert (second.scale, second.offset) == (1.0, 0.0)
    assert what.calibration.hours == pytest.approx(SECONDS / 3_600, rel=0.01)

    machine = check_for_replay(site.config).machines["pump"]
    assert machine.commissioned.what == what
    assert machine.calibration == what.calibration
    assert site.alarms(fresh_folder) == 0
    assert site.alarms(faulty_folder) == 1


def test_too_little_data_is_kept_only_on_demand_and_it_says_how_much_more_is_needed(site: Site) -> None:
    site.configure("1 per month")
    normal = site.record("normal", mounted(3, 60))
    found = site.commission("--recording", normal)
    assert found.exit_code == 1
    assert "are too little for '1 per month'" in found.output
    assert "h more would bring it to 3" in found.output
    assert not site.file.exists()
    assert site.commission("--recording", normal, "--accept").exit_code == 0
    assert site.file.exists()


def test_another_bundle_and_a_damaged_file_are_told_and_not_used(site: Site) -> None:
    assert site.commission("--recording", site.record("normal", mounted(4))).exit_code == 0
    kept = site.file.read_bytes()
    site.file.write_bytes(kept.replace(b'"by":"ann"', b'"by":"eve"'))
    machine = check_for_replay(site.config).machines["pump"]
    assert machine.commissioned is None
    assert "it was altered or damaged" in machine.refused
    site.file.write_bytes(kept)
    site.bundle(version="2.0.0")
    machine = check_for_replay(site.config).machines["pump"]
    assert machine.commissioned is None
    assert machine.refused == "it was made with another bundle, pump 1.0.0"
    assert machine.calibration == machine.bundle.manifest.calibration


def test_a_channel_far_from_what_the_model_knows_is_no_matter_of_offsets(site: Site) -> None:
    normal = site.record("normal", mounted(5) * [1.0, 6.0] + [100.0, 0.0])
    found = site.commission("--recording", normal)
    assert found.exit_code == 2
    assert "accel.x reads 105" in found.output
    assert "accel.y varies 6" in found.output
    assert not site.file.exists()
    assert site.commission("--recording", normal, "--keep-levels").exit_code == 0


def test_what_was_learnt_is_shown_and_removed(site: Site) -> None:
    assert site.commission("--show").exit_code == 2
    assert site.commission("--recording", site.record("normal", mounted(6))).exit_code == 0
    shown = site.commission("--show")
    assert shown.exit_code == 0
    assert "pump, bundle pump 1.0.0, by ann" in shown.output
    assert site.commission("--remove").exit_code == 0
    assert not site.file.exists()
    assert site.commission("--show").exit_code == 2


def test_only_the_part_that_was_said_to_be_normal_is_learnt_from(site: Site) -> None:
    spoilt = mounted(7)
    spoilt[-60 * RATE_HZ :, 0] *= 30
    folder = site.record("spoilt", spoilt)
    until = "2025-10-09T08:57:20Z"  # 240 s behind START_NS
    assert site.commission("--recording", folder, "--until", until).exit_code == 0
    what = decode(site.file.read_bytes())
    assert what.to_ns <= START_NS + 240 * SECOND
    assert what.corrections[0].scale == pytest.approx(0.5, abs=0.05)
    assert site.commission("--recording", folder, "--until", "tomorrow").exit_code == 2
    assert site.commission("--recording", folder, "--live", folder).exit_code == 2
    assert stethos("commission", "pumpe", "--config", site.config, "--recording", folder).exit_code == 2


def switching(seed: int, seconds: int = SECONDS) -> np.ndarray:
    """Twenty seconds off, twenty under load, and so on; y is what the machine takes."""
    noise = np.random.default_rng(seed).standard_normal((seconds * RATE_HZ, 2))
    return noise + np.outer(np.arange(len(noise)) // (20 * RATE_HZ) % 2 * 30.0, [0.0, 1.0])


def test_each_operating_state_is_learnt_by_itself_so_that_vibration_while_off_is_an_alarm(site: Site) -> None:
    normal, fresh = site.record("normal", switching(8)), switching(9, 120)
    rattling = fresh.copy()
    rattling[45 * RATE_HZ : 55 * RATE_HZ, 0] *= 8  # scores less than any load does, and is far too much while off
    fresh_folder, rattling_folder = site.record("fresh", fresh), site.record("rattling", rattling)
    assert site.commission("--recording", normal, "--keep-levels").exit_code == 0
    assert (site.alarms(fresh_folder), site.alarms(rattling_folder)) == (0, 0)

    site.configure("25 per hour", STATES)
    found = site.commission("--recording", normal, "--keep-levels")
    assert found.exit_code == 0, found.output
    assert "state 'off': 0.04" in found.output
    assert "windows are in no state, or between two" in found.output
    machine = check_for_replay(site.config).machines["pump"]
    assert set(machine.calibrations) == {"load", "off"}
    assert site.alarms(fresh_folder) == 0
    assert site.alarms(rattling_folder) == 1


def test_a_bundles_own_states_are_told_by_level_as_the_model_is_shown_it(site: Site) -> None:
    centres = [
        OperatingState(name="off", centre=[0.0, 0.0], radius=1.0),
        OperatingState(name="on", centre=[0.0, 3.0], radius=1.0),
    ]
    own = energy_calibration(threshold=0.05)
    states = States(known=OperatingStates(scale=[1.0, 1.0], states=centres), calibrations={"off": own})
    site.bundle(states=states)
    yardstick = yardstick_of(check_for_replay(site.config).machines["pump"])
    off, on, between = (np.full((2, 32), [[0.0], [level]], np.float32) for level in (0.0, 3.0, 1.5))
    assert yardstick.calibrations_of(off) == (own,)
    assert yardstick.calibrations_of(on) == (yardstick.overall,)
    assert len(yardstick.calibrations_of(between)) == 2


def energy_calibration(threshold: float) -> Calibration:
    return Calibration(
        threshold=threshold, rate_per_hour=1, shape=0, scale=1, body_scores=[], body_rates=[], hours=99, clusters=99
    )


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('name = "load"', 'name = "off"', "'off' cannot be a state's name here"),
        ('name = "load"', 'name = "unknown"', "'unknown' cannot be a state's name here"),
        ("[accel.y] > 15", "[accel.z] > 15", "there is no channel 'accel.z' in this machine"),
    ],
)
def test_a_mistake_in_a_state_is_named_with_its_place(site: Site, old: str, new: str, complaint: str) -> None:
    site.configure("25 per hour", STATES.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        check_for_replay(site.config)
    (problem,) = caught.value.problems
    assert "machine[0].state[1]" in problem.where
    assert complaint in problem.what
