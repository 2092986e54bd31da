"""The package through its life: installed and not configured, upgraded with state and mail on disk, removed, purged."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from tests.harness.broker import require, wait_until
from tests.systemd.box import Box, alarm_keys, has_alarm

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def digests(box: Box, folder: str) -> dict[str, str]:
    """Every file below a folder of the box."""
    root = box.file(folder)
    files = [path for path in root.rglob("*") if path.is_file()]
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def exists(box: Box, path: str) -> bool:
    return box.system.run("test", "-e", path, check=False).returncode == 0


def test_lintian_finds_nothing_wrong(package: Path) -> None:
    command = [require("lintian", "lintian"), "--allow-root", "--fail-on", "error,warning", package]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_it_holds_no_torch_and_says_which_python_it_needs(package: Path) -> None:
    fields = subprocess.run(["dpkg-deb", "-f", package], capture_output=True, text=True, timeout=60, check=True).stdout
    names = subprocess.run(["dpkg-deb", "-c", package], capture_output=True, text=True, timeout=60, check=True).stdout
    assert "python3 (>= 3." in fields
    assert "python3 (<< 3." in fields
    assert "/onnxruntime/capi/" in names
    assert not any(f"/site-packages/{each}/" in names for each in ("torch", "onnx", "sklearn", "scipy", "pyarrow"))


def test_an_installed_service_waits_for_its_configuration(box: Box) -> None:
    states = [box.property(name) for name in ("UnitFileState", "ActiveState", "ConditionResult", "NRestarts")]
    assert states == ["enabled", "inactive", "no", "0"]
    assert "dialout" in box.system.run("id", "stethos").stdout
    assert box.system.run("stat", "-c", "%U:%G %a", "/etc/stethos").stdout == "root:root 755\n"
    assert box.system.run("stethos", "--version").stdout.startswith("stethos, version ")


def test_nothing_in_it_depends_on_where_it_was_built(box: Box) -> None:
    found = box.system.run(
        "grep",
        "-rIl",
        "-e",
        "/tmp/",
        "-e",
        "/site-packages/pip",
        "/opt/stethos/bin",
        "/opt/stethos/pyvenv.cfg",
        check=False,
    )
    assert found.stdout == ""
    traceback = box.system.run(
        "/opt/stethos/bin/python3", "-c", "import agent.app; print(agent.app.run.__code__.co_filename)"
    )
    assert traceback.stdout.startswith("/opt/stethos/lib/python3.")


def test_an_upgrade_keeps_configuration_state_and_outbox(older: Path, package: Path, tmp_path: Path) -> None:
    with Box(tmp_path) as box:
        box.install(older)
        box.configure(drop_in="[Service]\nWatchdogSec=31\n")
        box.start()
        box.systemctl("stop", "mosquitto")
        box.raise_alarm()
        wait_until(lambda: bool(box.standing()), 15, "the alarm stands")
        [alarm] = box.standing()
        box.system.run("sh", "-c", "chgrp stethos /etc/stethos && chmod 750 /etc/stethos")
        before, pid = digests(box, "/etc/stethos"), box.property("MainPID")
        box.install(package)
        assert box.wait_active(20, not_pid=pid)
        assert not exists(box, "/opt/stethos/lib/of-the-past.py")
        assert digests(box, "/etc/stethos") == before
        assert box.system.run("stat", "-c", "%G %a", "/etc/stethos").stdout == "stethos 750\n"
        assert box.property("WatchdogUSec") == "31s"
        assert [each["id"] for each in box.standing()] == [alarm["id"]]
        with box.consumer_of_new_broker() as consumer:
            assert set(alarm_keys(consumer.wait_for(has_alarm(), 30))) == {f"{alarm['id']}.1"}


def test_an_upgrade_does_not_start_what_the_operator_has_stopped(older: Path, package: Path, tmp_path: Path) -> None:
    with Box(tmp_path) as box:
        box.install(older)
        box.configure()
        box.systemctl("disable", "stethos")
        box.install(package)
        assert [box.property(name) for name in ("UnitFileState", "ActiveState")] == ["disabled", "inactive"]


def test_removal_keeps_what_a_purge_takes(package: Path, tmp_path: Path) -> None:
    with Box(tmp_path) as box:
        box.install(package)
        box.configure()
        box.start()
        box.raise_alarm()
        wait_until(lambda: bool(box.standing()), 15, "the alarm stands")
        box.system.run("dpkg", "-r", "stethos", timeout_s=120)
        assert box.property("ActiveState") == "inactive"
        assert not exists(box, "/opt/stethos")
        assert exists(box, "/etc/stethos/agent.toml")
        assert exists(box, "/var/lib/stethos/outbox.db")
        box.system.run("dpkg", "-P", "stethos", timeout_s=120)
        left = [path for path in ("/etc/stethos", "/var/lib/stethos", "/usr/bin/stethos") if exists(box, path)]
        assert left == []
        assert box.system.run("getent", "passwd", "stethos", check=False).stdout == ""
        assert box.system.run("getent", "group", "stethos", check=False).stdout == ""
        links = box.system.run(
            "find", "/etc/systemd", "/var/lib/systemd", "-name", "stethos.service*", "!", "-name", "*.d"
        ).stdout
        assert links == ""
