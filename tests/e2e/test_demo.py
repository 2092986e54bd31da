"""The demo as a user runs it, with the committed bundle: it ends by itself with the alarm, and takes its children with it."""

import signal
import subprocess

import psutil
import pytest

from tests.harness.command_line import STETHOS

pytest.importorskip("iotcore")


@pytest.fixture
def demo(tmp_path):
    command = [*STETHOS, "demo", "--no-train", "--out", str(tmp_path)]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    yield process
    process.kill()
    process.wait(30)


@pytest.mark.slow
def test_the_fault_is_alarmed_after_its_onset_and_not_before(demo, tmp_path):
    output, _ = demo.communicate(timeout=280)
    assert demo.returncode == 0, output
    assert "BEFORE" not in output
    assert output.index("the fault begins") < output.index("alarm new: machine reactor")
    assert "stopped on SIGTERM, and said so on its availability topic" in output
    assert {"agent.toml", "agent.log", "stethos-demo-state"} <= {path.name for path in tmp_path.iterdir()}


def test_a_demo_that_is_ended_from_outside_ends_its_broker_and_its_daemon(demo):
    for line in demo.stdout:
        if "ready after" in line:
            break
    children = psutil.Process(demo.pid).children(recursive=True)
    assert len(children) == 2
    demo.send_signal(signal.SIGTERM)
    assert demo.wait(timeout=60) == 143
    gone, alive = psutil.wait_procs(children, timeout=30)
    assert (len(gone), alive) == (2, [])
