"""`stethos commission --live` on a real port: it ends by itself once the data suffice, and keeps its hands off a running agent's devices."""

from __future__ import annotations

import contextlib
import subprocess
import time

from agent.decide.commissioning import decode
from tests.e2e.plant import Plant, wait_health
from tests.harness.command_line import STETHOS


def commission(plant: Plant, *more: str) -> subprocess.Popen[str]:
    command = [*STETHOS, "commission", "pump", "--config", str(plant.daemon.config)]
    folder = ["--live", str(plant.folder / "normal")]
    return subprocess.Popen([*command, *folder, *more], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_it_reads_the_port_until_the_data_suffice_and_the_agent_uses_what_it_learnt(plant: Plant) -> None:
    config = plant.daemon.config
    config.write_text(config.read_text().replace('"1 per week"', '"60 per hour"'))
    running = commission(plant)
    until = time.monotonic() + 100
    while running.poll() is None and time.monotonic() < until:
        with contextlib.suppress(TimeoutError):  # it ended in the middle of this
            plant.port.write(plant.accel_bytes(10), timeout_s=5)
    output, _ = running.communicate(timeout=60)
    assert running.returncode == 0, output
    assert "normal operation support '60 per hour'" in output
    learnt = decode((plant.folder / "state" / "commissioning" / "pump.json").read_bytes())
    assert learnt.windows > 100

    with plant.consumer() as consumer:
        plant.daemon.start()
        told = wait_health(consumer, lambda health: "pump" in health["machines"])["machines"]["pump"]["calibration"]
        assert (told["basis"], told["created"]) == ("commissioned", learnt.created)
        refused = commission(plant)
        output, _ = refused.communicate(timeout=100)
        assert refused.returncode == 2
        assert "the agent is running" in output
