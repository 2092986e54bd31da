"""An agent with as many like machines as wanted: 8 channels each, sent as JSON over MQTT, all watched by one convolutional model."""

from __future__ import annotations

import atexit
import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from agent.types import NANOSECONDS
from tests.harness.command_line import STETHOS

CHANNELS, WINDOW, HOP, RATE_HZ = 8, 256, 64, 64
STEP_NS = NANOSECONDS // RATE_HZ
START_NS = 1_760_000_000_000_000_000
NAMES = [f"c{number}" for number in range(CHANNELS)]
BUNDLE, KEY = "fleet-1.0.0.stethos", "release.pub"

_TRAINING_ROWS = 40_000
_EPOCHS = 5
_CHANNEL_LINES = "\n".join(f'  {{ name = "{name}", unit = "1" }},' for name in NAMES)
_CHANNEL_PATHS = "\n".join(f'{name} = "v[{number}]"' for number, name in enumerate(NAMES))

DATASET = f"""
name = "fleet"
rate_hz = {RATE_HZ}.0
channel = [
{_CHANNEL_LINES}
]
[[run]]
file = "normal.csv"
role = "train"
"""

PROFILE = f"""
maker = "Bench"
model = "node with {CHANNELS} channels"
source = "this benchmark"
transport = "mqtt"
rate_hz = {RATE_HZ}.0
silent_after_s = 10.0
framing = {{ kind = "message" }}
sequence = {{ field = "n", bits = 32 }}
time = {{ kind = "device", field = "t", unit = "ns" }}
channel = [
{_CHANNEL_LINES}
]
[json.fields]
n = "n"
t = "t"
{_CHANNEL_PATHS}
"""

AGENT = """
[agent]
id = "bench"
state = "state-{streams}"
[upstream]
broker = "{broker}"
[trust]
keys = ["{key}"]
"""

STREAM = """
[[device]]
id = "{device}"
profile = "node.toml"
mqtt = {{ broker = "{broker}", topic = "{topic}" }}
[[machine]]
id = "m-{device}"
bundle = "{bundle}"
channels = [{channels}]
false_alarms = "1 per month"
"""


def signal(rows: int, seed: int) -> npt.NDArray[np.float32]:
    """Normal operation, float32 [rows, channels]: slow oscillations, each channel its own mix of them, and noise."""
    random = np.random.default_rng(seed)
    phase = random.uniform(0, 2 * np.pi, 3)
    t = np.arange(rows)[:, None] / RATE_HZ
    common = np.sin(2 * np.pi * np.array([0.31, 1.7, 5.3]) * t + phase)
    mix = np.random.default_rng(1).standard_normal((3, CHANNELS))
    return (common @ mix + 0.3 * random.standard_normal((rows, CHANNELS))).astype(np.float32)


def write(folder: Path, streams: int, broker: str) -> Path:
    """The agent's file, its profile, bundle and key in `folder`; returns the path of the file."""
    for name in (BUNDLE, KEY):
        (folder / name).write_bytes((_model() / name).read_bytes())
    (folder / "node.toml").write_text(PROFILE)
    config = folder / f"agent-{streams}.toml"
    parts = [AGENT.format(streams=streams, broker=broker, key=KEY)]
    for number in range(streams):
        device = device_name(number)
        channels = ", ".join(f'"{device}.{name}"' for name in NAMES)
        parts.append(STREAM.format(device=device, broker=broker, topic=topic(number), bundle=BUNDLE, channels=channels))
    config.write_text("".join(parts))
    return config


def device_name(number: int) -> str:
    return f"node-{number:03d}"


def topic(number: int) -> str:
    return f"plant/{device_name(number)}"


def payload(n: int, values: npt.NDArray[np.float32], t_ns: int) -> bytes:
    """One sample as its node sends it."""
    return f'{{"n":{n},"t":{t_ns},"v":[{",".join(f"{value:.4f}" for value in values.tolist())}]}}'.encode()


@functools.cache
def newer() -> Path:
    """The next release of the same model."""
    release = ["--version", "2.0.0", "--counter", "2"]
    _stethos(_model(), "model", "export", "run", "--key", "release.key", "--out", ".", *release)
    return _model() / BUNDLE.replace("1.0.0", "2.0.0")


@functools.cache
def _model() -> Path:
    """A folder with the bundle and the key, made once by the commands that a user would type, in processes of their own."""
    folder = Path(tempfile.mkdtemp(prefix="stethos-bench-"))
    atexit.register(shutil.rmtree, folder)
    rows = "\n".join(",".join(f"{value:.4f}" for value in row) for row in signal(_TRAINING_ROWS, seed=0).tolist())
    (folder / "normal.csv").write_text(f"{','.join(NAMES)}\n{rows}\n")
    (folder / "dataset.toml").write_text(DATASET)
    shape = ["--window", str(WINDOW), "--hop", str(HOP), "--epochs", str(_EPOCHS)]
    _stethos(folder, "model", "train", "dataset.toml", "--model", "conv-autoencoder", *shape, "--out", "run")
    _stethos(folder, "bundle", "keygen", "release")
    _stethos(folder, "model", "export", "run", "--key", "release.key", "--out", ".")
    return folder


def _stethos(folder: Path, *words: str) -> None:
    subprocess.run([*STETHOS, *words], cwd=folder, check=True, timeout=300, capture_output=True)
