"""Real and realistic plants without sensor faults: the shipped profiles' watches stay silent, and believe every value."""

from __future__ import annotations

import csv
import os
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from agent.demo.tennessee import ROW_NS, faulty_run, normal_runs
from agent.errors import ConfigError
from agent.sensors.faults import Fault
from agent.sensors.watch import SensorWatch
from agent.types import NANOSECONDS, Batch, Float32Array, Int64Array, TimeQuality
from tests.harness.profiles import shipped
from tests.harness.sensors import START_NS, cut

SKAB = Path(os.environ.get("STETHOS_DATA", Path(__file__).parents[3] / "shared" / "data")) / "skab"


@pytest.mark.skipif(not SKAB.is_dir(), reason=f"SKAB is not at {SKAB}: set $STETHOS_DATA to the data folder")
@pytest.mark.parametrize("name", ["skab-csv", "skab-json"])
def test_no_file_of_the_water_loop_has_a_sensor_fault(name: str) -> None:
    files = sorted(SKAB.glob("*/*.csv"))
    assert len(files) == 35
    for file in files:
        watch, flagged = watched(name, *skab(file))
        assert not flagged, file
        assert [channel.changes for channel in watch.report().channels] == [0] * 8, file


def test_the_tennessee_eastman_process_has_none_whatever_disturbs_it_until_its_simulation_stops() -> None:
    stopped = set()
    for number, values in tennessee().items():
        watch, flagged = watched("tep-cobs", START_NS + np.arange(len(values), dtype=np.int64) * ROW_NS, values)
        channels = watch.report().channels
        if flagged:
            stopped.add(number)
            assert {fault for channel in channels for fault in channel.faults} == {Fault.STUCK}
        else:
            assert not any(channel.changes for channel in channels), number
    # After faults 6 and 18 the simulated plant shuts down, and its files repeat their last row to the end.
    assert stopped == {6, 18}


def skab(file: Path) -> tuple[Int64Array, Float32Array]:
    """Times int64 [n] and values float32 [n, 8] of a file."""
    with file.open() as lines:
        rows = list(csv.reader(lines, delimiter=";"))[1:]
    seconds = [int(datetime.fromisoformat(row[0]).replace(tzinfo=UTC).timestamp()) for row in rows]
    return np.array(seconds, np.int64) * NANOSECONDS, np.array([row[1:9] for row in rows], np.float32)


def tennessee() -> dict[int, Float32Array]:
    """All runs by the number of their disturbance; the two normal ones are 0 and -1."""
    try:
        normal, other = normal_runs()
    except ConfigError as error:
        pytest.skip(str(error))
    return {0: normal, -1: other, **{number: faulty_run(number) for number in range(1, 22)}}


def watched(name: str, t_ns: Int64Array, values: Float32Array) -> tuple[SensorWatch, int]:
    """The shipped profile's watch after these samples, and how many values it flagged."""
    watch = SensorWatch(shipped(name))
    batch = Batch("d", t_ns, values, np.zeros(values.shape, np.uint8), TimeQuality.DEVICE)
    return watch, sum(int(np.count_nonzero(watch.inspect(piece).quality)) for piece in cut(batch, 50))
