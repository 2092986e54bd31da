"""The service under systemd: how exposed its unit is, and how long machines go unwatched after its process was killed."""

from __future__ import annotations

import re
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.bench.figures import Figure, significant
from tests.systemd.box import Box, restarted

_ROOT = Path(__file__).parents[2]
_PEERS = "Netdata 8.5, Telegraf 9.2, ThingsBoard Gateway 9.2, zigbee2mqtt 9.2, eKuiper 9.6"
_KILLS = 10


def measure() -> Iterator[Figure]:
    """The overall exposure that systemd finds in the unit with its serial ports open, 0 to 10."""
    command = ["systemd-analyze", "security", "--offline=yes", "--threshold=100", _ROOT / "systemd/stethos.service"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    [exposure] = re.findall(r"Overall exposure level for \S+: ([\d.]+)", told)
    yield Figure("unit.exposure", float(exposure), "of 10", f"by the same measure: {_PEERS}", "<= 2")


def sigkill() -> Iterator[Figure]:
    """From SIGKILL to READY=1 under a booted systemd, with the installed package, two devices and two machines."""
    with tempfile.TemporaryDirectory() as name:
        (folder := Path(name) / "box").mkdir()
        package = subprocess.run([_ROOT / "scripts/deb", name], capture_output=True, text=True, timeout=600, check=True)
        with Box(folder) as box:
            box.install(Path(package.stdout.strip()))
            box.configure()
            box.start()
            taken = [restarted(box, "KILL", 30)[1] for _ in range(_KILLS)]
    against = f"median of {_KILLS}, at most {max(taken):.1f} s; systemd waits 2 s of it"
    yield Figure("heal.sigkill", significant(statistics.median(taken)), "s", against, "<= 5")
