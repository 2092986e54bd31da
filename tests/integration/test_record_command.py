"""`stethos record`: devices recorded before there is a model, and their samples decoded for training."""

from __future__ import annotations

import csv
import subprocess
import time
from pathlib import Path

import pytest

from agent.decode.encode import Encoder
from agent.decode.profile import parse_profile
from agent.types import Chunk
from tests.harness.agent_folder import ACCEL
from tests.harness.command_line import STETHOS
from tests.harness.pty_device import PtyDevice
from tests.harness.recordings import files, read, write

CONFIG = """
[agent]
id = "line-3"
[[device]]
id = "accel"
profile = "accel"
serial = { port = "ttyACCEL" }
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "firmware_configs").mkdir()
    (tmp_path / "firmware_configs" / "accel.toml").write_text(ACCEL)
    (tmp_path / "agent.toml").write_text(CONFIG)
    return tmp_path


def stethos(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [*STETHOS, *arguments]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def frames(count: int) -> list[bytes]:
    encoder = Encoder(parse_profile(ACCEL, "accel.toml"))
    return [encoder.frame([0.001 * number, -0.5, 21.5], 0) for number in range(count)]


def recorded_bytes(folder: Path) -> int:
    return sum(len(chunk.data) for step in read(folder) for chunk in step.chunks) if files(folder) else 0


def test_devices_are_recorded_without_a_model_and_decoded_for_training(folder: Path) -> None:
    with PtyDevice(folder / "ttyACCEL") as port:
        recording = stethos(folder, "record", "agent.toml", "--out", "bytes")
        for frame in frames(20_000):  # those before it opens the port are lost
            port.write(frame)
            time.sleep(0.005)
            if recorded_bytes(folder / "bytes") > 2_000:
                break
        recording.terminate()
        out, err = recording.communicate(timeout=60)
    assert recording.returncode == 0, err
    assert f"accel: {recorded_bytes(folder / 'bytes')} bytes" in out
    assert "0 dropped" in out

    export = ["record", "export", "bytes", "--device", "accel", "--profile", "accel", "--out", "accel.csv"]
    decoded = stethos(folder, *export)
    out, err = decoded.communicate(timeout=60)
    assert decoded.returncode == 0, err
    with (folder / "accel.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert f"{len(rows)} samples" in out
    first = round(float(rows[0]["x"]) / 0.001)
    assert [float(row["x"]) for row in rows] == pytest.approx([0.001 * (first + n) for n in range(len(rows))])
    assert len(rows) > 100
    assert {row["temp"] for row in rows} == {"21.5"}
    times = [int(row["t_ns"]) for row in rows]
    assert times == sorted(times)


def test_recording_a_device_that_is_not_there_says_so_and_fails(folder: Path) -> None:
    recording = stethos(folder, "record", "agent.toml", "--out", "bytes", "--seconds", "0.5")
    out, err = recording.communicate(timeout=60)
    assert recording.returncode == 1
    assert "accel: 0 bytes" in out
    assert "cannot open" in err


def test_a_configuration_that_cannot_be_read_exits_with_2(folder: Path) -> None:
    (folder / "agent.toml").write_text(CONFIG.replace("[[device]]", "[[devise]]"))
    recording = stethos(folder, "record", "agent.toml", "--out", "bytes", "--seconds", "0.5")
    _, err = recording.communicate(timeout=60)
    assert recording.returncode == 2
    assert "devise" in err


def test_export_names_a_profile_that_is_not_there(folder: Path) -> None:
    write(folder / "bytes", [(Chunk("accel", frames(1)[0], 1),)])
    decoded = stethos(folder, "record", "export", "bytes", "--device", "accel", "--profile", "acel", "--out", "x.csv")
    _, err = decoded.communicate(timeout=60)
    assert decoded.returncode == 2
    assert "did you mean 'accel'" in err
