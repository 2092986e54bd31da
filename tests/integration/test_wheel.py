"""What a box installs from a wheel is whole: the packages and the firmware profiles, which are data."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OLDEST_SETUPTOOLS = 77  # as pyproject.toml asks of the build


def setuptools_version() -> int:
    try:
        return int(version("setuptools").split(".")[0])
    except PackageNotFoundError:
        return 0


@pytest.mark.skipif(
    setuptools_version() < OLDEST_SETUPTOOLS, reason=f"setuptools {OLDEST_SETUPTOOLS} or newer is not installed"
)
def test_the_wheel_holds_every_module_and_profile(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for package in ("agent", "export", "firmware_configs"):
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, source)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        str(tmp_path),
        str(source),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=250)
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "firmware_configs").rglob("*.toml")}
    sources |= {
        str(path.relative_to(ROOT)) for package in ("agent", "export") for path in (ROOT / package).rglob("*.py")
    }
    sources |= {str(path.relative_to(ROOT)) for path in (ROOT / "export").rglob("*.j2")}
    assert {"firmware_configs/tep-cobs.toml", "export/report/page.html.j2"} <= sources
    assert sources <= packed
