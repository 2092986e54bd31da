"""The files that a user would write by hand: recordings and a data set for training, and the agent's configuration."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.decode.profile import Profile
from agent.demo import tennessee
from agent.types import Float32Array

PROFILE = "tep-cobs"
AGENT, DEVICE, MACHINE = "demo", "plant", "reactor"
STATE = "stethos-demo-state"
# The second normal run is shared: the model learns from its first rows, and the rest says what it usually scores.
_LEARNT_ROWS = 480


@dataclass(frozen=True, slots=True)
class Model:
    """A signed bundle and the public key that proves it."""

    bundle: Path
    key: Path


def write_dataset(folder: Path, profile: Profile, fault: int) -> Path:
    """The recordings as CSV in `folder` and the TOML that describes them; returns the path of the TOML."""
    first, second = tennessee.normal_runs()
    faulty = f"fault-{fault:02d}.csv"
    for name, values in (("normal-1.csv", first), ("normal-2.csv", second), (faulty, tennessee.faulty_run(fault))):
        _write_csv(folder / name, profile.channel_names, values)
    channels = "\n".join(f"  {{ name = {_quote(c.name)}, unit = {_quote(c.unit)} }}," for c in profile.channel)
    path = folder / "dataset.toml"
    path.write_text(f"""\
# The Tennessee Eastman process, a row every three minutes.
name = "tep"
rate_hz = {profile.rate_hz!r}
channel = [
{channels}
]

[[run]]
file = "normal-1.csv"
role = "train"

[[run]]
file = "normal-2.csv"
role = "train"
rows = [0, {_LEARNT_ROWS}]

[[run]]
file = "normal-2.csv"
role = "calibrate"
rows = [{_LEARNT_ROWS}, {len(second)}]

[[run]]
file = "{faulty}"
role = "test"
anomaly_from_row = {tennessee.ONSET_ROW}
""")
    return path


def write_agent(path: Path, *, port: str, broker: tuple[str, int], model: Model, channels: Sequence[str]) -> None:
    """The agent's configuration: one device on `port`, one machine with `model`, alarms to `broker`."""
    host, tcp_port = broker
    address = f"mqtt://[{host}]:{tcp_port}" if ":" in host else f"mqtt://{host}:{tcp_port}"
    named = "\n".join(f"  {_quote(f'{DEVICE}.{channel}')}," for channel in channels)
    path.write_text(f"""\
[agent]
id = "{AGENT}"
state = {_quote(path.parent / STATE)}
health_every = "5s"

[[device]]
id = "{DEVICE}"
profile = "{PROFILE}"
serial = {{ port = {_quote(port)}, baud = 115200 }}

[[machine]]
id = "{MACHINE}"
bundle = {_quote(model.bundle)}
false_alarms = "1 per week"
acknowledge = false  # the demonstration has nobody to acknowledge its alarms
channels = [
{named}
]

[trust]
keys = [{_quote(model.key)}]

[upstream]
broker = {_quote(address)}
allow_plaintext = true
""")


def _write_csv(path: Path, names: Sequence[str], values: Float32Array) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows([[str(value) for value in row] for row in values])


def _quote(value: object) -> str:
    """A TOML basic string, whose escapes are those of JSON."""
    return json.dumps(str(value), ensure_ascii=False)
