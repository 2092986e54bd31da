"""What a model runs on is told everywhere it is looked for, and a crash of its process stops nothing else."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

from tests.e2e.plant import FAULT, Plant, latest, types, wait_health
from tests.harness.command_line import STETHOS, stethos

CUDA = '[inference]\ndevice = "cuda"\n'
ISOLATED = "[inference]\nisolate = true\n"
WANTED = "degraded: running on the CPU (CPUExecutionProvider), CUDAExecutionProvider was wanted; install stethos[gpu]"


def configure(plant: Plant, inference: str) -> None:
    plant.daemon.config.write_text(plant.daemon.config.read_text() + inference)


def status_with(heard: socket.socket, words: str) -> str:
    """The first STATUS= with these words that systemd hears within a minute."""
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        for line in heard.recv(8192).decode().splitlines():
            if line.startswith("STATUS=") and words in line:
                return line
    raise AssertionError(f"systemd never heard {words!r}")


def test_systemd_hears_that_a_model_fell_back_to_the_cpu(plant: Plant) -> None:
    configure(plant, CUDA)
    address = plant.folder / "systemd"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(address))
        heard.settimeout(60)
        command = [*STETHOS, "run", str(plant.daemon.config)]
        with subprocess.Popen(command, env={**os.environ, "NOTIFY_SOCKET": str(address)}) as daemon:
            try:
                status = status_with(heard, "degraded")
            finally:
                daemon.terminate()
    assert f"machine pump: {WANTED}" in status


def test_health_and_doctor_tell_that_a_model_fell_back_to_the_cpu(plant: Plant) -> None:
    configure(plant, CUDA)
    plant.daemon.start()
    with plant.consumer() as consumer:
        health = wait_health(consumer, lambda health: bool(health["machines"]))
    reasons = [reason for reason in health["reasons"] if reason["what"] == WANTED]
    assert [(reason["where"], reason["state"]) for reason in reasons] == [
        ("machine pump", "out_of_specification"),
        ("machine motor", "out_of_specification"),
    ]
    model = health["machines"]["pump"]["model"]
    assert (model["provider"], model["degraded"], model["variant"]) == ("CPUExecutionProvider", WANTED, "fp32")
    assert sum(model["operators"].values()) > 0
    assert 0 < model["median_ms"] <= model["worst_ms"]
    assert f"FAIL machine pump: {WANTED}" in stethos("doctor", plant.daemon.config).output


def test_a_crash_of_the_models_process_is_told_counted_and_survived(plant: Plant) -> None:
    configure(plant, ISOLATED)
    plant.daemon.start()
    with plant.consumer() as consumer:
        plant.accel(20)
        first = wait_health(consumer, lambda health: health["counters"].get("windows_scored", 0) > 10)
        children = model_processes(plant.daemon.pid)
        for child in children:
            os.kill(child, signal.SIGSEGV)
        plant.accel(2)
        failed = wait_health(consumer, lambda health: health["counters"].get("inference_errors", 0) > 0)

        def recovered(health: dict) -> bool:
            plant.accel(1)
            return health["machines"]["pump"]["model"]["counters"].get("restarts") == 1 and not failures(health)

        wait_health(consumer, recovered)
        plant.accel(30, FAULT)
        consumer.wait_for(lambda messages: types(messages, "pump") == ["new"])
        health = latest(consumer, "health")
    assert len(children) == 2, "one for each bundle"
    assert first["machines"]["pump"]["model"]["failure"] is None
    assert failed["machines"]["pump"]["model"]["counters"]["crashes"] == 1
    assert any("was ended by SIGSEGV" in what for what in failures(failed)) or not failures(failed)
    assert all(stage["in"] == stage["out"] + stage["held"] + stage["dropped"] for stage in health["flow"].values())
    assert health["flow"]["samples"]["in"] > 2_000, "its device was read on"


def failures(health: dict) -> list[str]:
    return [reason["what"] for reason in health["reasons"] if "the model's process" in reason["what"]]


def model_processes(parent: int) -> list[int]:
    """The children of this process that run models."""
    children = Path(f"/proc/{parent}/task").glob("*/children")
    pids = {int(pid) for listed in children for pid in listed.read_text().split()}
    return [pid for pid in sorted(pids) if b"agent.infer.child" in Path(f"/proc/{pid}/cmdline").read_bytes()]
