"""How much faster than real time a recording of accel3-cobs goes through decode, window, infer and decide."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from agent.config.partial import Models, check_for_replay
from agent.record.reading import Recording
from agent.record.recorder import Recorder
from agent.replay import Replay, gathered
from agent.simulate.device import Device, samples
from agent.simulate.schedule import parse_schedule
from agent.types import NANOSECONDS, Chunk
from agent.window.contract import Contract, ContractChannel
from tests.bench.figures import Figure, significant
from tests.harness import small_plant
from tests.harness.agent_folder import energy_bundle
from tests.harness.profiles import shipped
from tests.harness.threads import at_work

_SECONDS = 120
_STEP_NS = NANOSECONDS // 100  # the daemon lets its readers gather for 10 ms
_START_NS = 1_760_000_000_000_000_000


def measure() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write(folder)
        models = check_for_replay(folder / "agent.toml")
        exact = _times_real(folder, models, coarse=False)
        coarse = _times_real(folder, models, coarse=True)
        against = f"one device for {_SECONDS} s at 1 kHz, bit for bit in the daemon's steps of 10 ms; {coarse:.2g} with --coarse"
        yield Figure("devices.replay_x_real_time", significant(exact, 2), "x real time", against)


def _times_real(folder: Path, models: Models, *, coarse: bool) -> float:
    """The median of three replays; raises RuntimeError where one was not whole."""
    found = []
    for _ in range(3):
        run, steps = Replay(models), Recording(folder / "record").steps()
        for _message in run.alarms(gathered(steps) if coarse else steps):
            pass
        if run.tally.samples != _SECONDS * 1_000 or run.tally.unknown or not run.tally.windows:
            raise RuntimeError(f"the replay is not whole: {run.tally}")
        found.append(run.tally.times_real)
    return statistics.median(found)


def _write(folder: Path) -> None:
    channels = [ContractChannel(name=name, unit="[g]") for name in "xyz"]
    contract = Contract(channels=channels, rate_hz=1_000.0, window=256, hop=64)
    (folder / "motor.stethos").write_bytes(energy_bundle(contract))
    small_plant.write(
        folder,
        "mqtt://localhost",
        small_plant.device("accel", "accel3-cobs", 'serial = { port = "/dev/ttyACCEL" }'),
        small_plant.machine("motor", "motor.stethos", [f"accel.{name}" for name in "xyz"]),
        agent="bench",
    )
    profile, schedule = shipped("accel3-cobs"), parse_schedule([f"bearing-outer@{_SECONDS // 2}s"])
    device = Device(profile, samples(profile, schedule, 0, "motor", None), schedule, 0)
    recorder = Recorder(folder / "record", 256 * 1024 * 1024)
    with at_work(recorder.run):
        waiting, step = b"", 1
        for offset_ns, parts in device.run(_START_NS):
            if offset_ns >= step * _STEP_NS:
                recorder.put([Chunk("accel", waiting, _START_NS + step * _STEP_NS)])
                waiting, step = b"", step + 1
            if offset_ns >= _SECONDS * NANOSECONDS:
                break
            waiting += b"".join(data for _, data in parts)


if __name__ == "__main__":
    for figure in measure():
        print(f"{figure.name} = {figure.value:g} {figure.unit} ({figure.against})")
