"""systemd itself accepts the unit without a word, and scores its exposure at 2.0 or less with serial ports open."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

SYSTEMD = Path(__file__).parents[2] / "systemd"
PROGRAM = "/opt/stethos/bin/stethos"

pytestmark = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit as installed, but with a program that exists on this machine, as `verify` demands."""
    program = tmp_path / "stethos"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    text = (SYSTEMD / "stethos.service").read_text()
    assert text.count(PROGRAM) == 1
    installed = tmp_path / "stethos.service"
    installed.write_text(text.replace(PROGRAM, str(program)))
    return installed


def install_gpu_drop_in(unit: Path) -> None:
    folder = unit.parent / "stethos.service.d"
    folder.mkdir()
    shutil.copy(SYSTEMD / "stethos.service.d" / "gpu.conf.example", folder / "gpu.conf")


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("gpu", [False, True])
def test_verify_accepts_the_unit_without_a_word(unit: Path, gpu: bool) -> None:
    if gpu:
        install_gpu_drop_in(unit)
    result = analyze("verify", str(unit))
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("gpu", [False, True])
def test_verify_would_complain_of_a_mistake(unit: Path, gpu: bool) -> None:
    if gpu:
        install_gpu_drop_in(unit)
    spoilt = unit.parent / "stethos.service.d" / "gpu.conf" if gpu else unit
    spoilt.write_text(spoilt.read_text().replace("TimeoutStartSec", "TimeoutStartSek"))
    assert "TimeoutStartSek" in analyze("verify", str(unit)).stderr


def exposure(unit: Path) -> float:
    """The overall exposure level, 0 (none) to 10."""
    result = analyze("security", "--offline=yes", "--threshold=20", str(unit))
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", result.stdout)
    assert found, result.stdout + result.stderr
    assert result.returncode == (float(found[1]) > 2.0)
    return float(found[1])


def test_exposure_is_two_or_less_with_and_without_a_gpu(unit: Path) -> None:
    assert exposure(unit) <= 2.0
    install_gpu_drop_in(unit)
    assert exposure(unit) <= 2.0


def test_serial_ports_are_open_and_proc_is_whole(unit: Path) -> None:
    lines = unit.read_text().splitlines()
    for kind in ("ttyUSB", "ttyACM", "ttyS"):
        assert f"DeviceAllow=char-{kind} rw" in lines
    assert "SupplementaryGroups=dialout" in lines
    assert "ProcSubset=all" in lines
    assert not any(line.startswith("PrivateDevices=") for line in lines)


def test_a_missing_configuration_is_no_failure_and_a_dead_process_leaves_no_core(unit: Path) -> None:
    lines = unit.read_text().splitlines()
    assert "ConditionPathExists=/etc/stethos/agent.toml" in lines
    assert "LimitCORE=0" in lines
    assert "Restart=always" in lines
    assert "StartLimitIntervalSec=0" in lines
