"""The package under test, and a box that has it installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.booted_system import CannotBootError, base_root
from tests.systemd.box import Box


@pytest.fixture(scope="session")
def package() -> Path:
    """The .deb that $STETHOS_DEB names; skips without it, as building one takes a minute, and where nothing can be booted."""
    name = os.environ.get("STETHOS_DEB")
    if not name:
        pytest.skip("these tests boot a Debian: run scripts/test-systemd")
    try:
        base_root()
    except CannotBootError as error:
        pytest.skip(str(error))
    return Path(name).resolve(strict=True)


@pytest.fixture(scope="session")
def older(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same package with an earlier version, and with a file that the newer one no longer has."""
    folder = tmp_path_factory.mktemp("older")
    subprocess.run(["dpkg-deb", "-R", package, folder / "root"], check=True, timeout=120)
    control = folder / "root/DEBIAN/control"
    lines = control.read_text().splitlines()
    control.write_text("".join("Version: 0.0.1\n" if line.startswith("Version: ") else f"{line}\n" for line in lines))
    (folder / "root/opt/stethos/lib/of-the-past.py").touch()
    command = ["dpkg-deb", "--root-owner-group", "-Znone", "-b", folder / "root", folder / "stethos.deb"]
    subprocess.run(command, check=True, timeout=120, stdout=subprocess.DEVNULL)
    shutil.rmtree(folder / "root")
    return folder / "stethos.deb"


@pytest.fixture(scope="module")
def box(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """Booted, and the package installed; each test configures it anew."""
    with Box(tmp_path_factory.mktemp("box")) as box:
        box.install(package)
        yield box
