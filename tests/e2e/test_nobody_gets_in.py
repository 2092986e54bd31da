"""The running daemon offers no door: it listens on no port, and what it makes on disk is its own, whatever the umask."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.e2e.plant import FAULT, Plant, types
from tests.harness.broker import wait_until
from tests.harness.command_line import STETHOS


@pytest.fixture
def whole(plant: Plant) -> Plant:
    """The plant with everything on that writes a file."""
    with plant.daemon.config.open("a") as config:
        config.write('[record]\nfolder = "record"\n[metrics]\ntextfile = "stethos.prom"\n')
    return plant


@pytest.fixture
def permissive() -> Iterator[None]:
    """A umask that forbids nobody anything."""
    before = os.umask(0)
    yield
    os.umask(before)


def alarmed(plant: Plant) -> None:
    """Start the daemon and let it do all its work, up to an alarm and its files."""
    with plant.consumer() as consumer:
        plant.start(consumer)
        plant.accel(20)
        plant.accel(5, FAULT)
        plant.drive(5)
        consumer.wait_for(lambda sent: types(sent, "pump") == ["new"])
    wait_until((plant.folder / "stethos.prom").exists, 30, "the metrics")


def test_the_running_daemon_listens_on_no_port_and_on_its_local_socket_alone(whole: Plant) -> None:
    alarmed(whole)
    connections = psutil.Process(whole.daemon.pid).net_connections("all")
    inet = [each for each in connections if each.family in {socket.AF_INET, socket.AF_INET6}]
    assert inet, "it is connected to its broker"
    # An outgoing TCP connection has a peer; a listener or a UDP socket that would take anything has none.
    assert [each for each in inet if not each.raddr or each.type == socket.SOCK_DGRAM] == []
    assert {each.status for each in inet} == {psutil.CONN_ESTABLISHED}
    named = [each.laddr for each in connections if each.family == socket.AF_UNIX and each.laddr]
    assert named, "the control socket"
    assert {Path(name).name for name in named} == {"control.sock"}


def test_the_test_would_see_a_listener() -> None:
    with socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(("127.0.0.1", 0))
        found = psutil.Process().net_connections("inet")
        assert {each.type for each in found if not each.raddr} == {socket.SOCK_STREAM, socket.SOCK_DGRAM}


@pytest.mark.usefixtures("permissive")
def test_everything_that_the_daemon_makes_is_its_owners_alone_under_any_umask(whole: Plant) -> None:
    alarmed(whole)
    wait_until(lambda: bool(list((whole.folder / "record").glob("*.strec"))), 30, "a segment")
    modes = {}
    for top in ("state", "record"):
        for path in (whole.folder / top, *(whole.folder / top).rglob("*")):
            with contextlib.suppress(FileNotFoundError):  # it was there for a moment only, before it got another name
                modes[path.relative_to(whole.folder)] = path.lstat()
    names = {str(path) for path in modes}
    assert {"state", "state/outbox.db", "state/outbox.db-wal", "state/control.sock", "record"} <= names
    assert any(name.endswith(".strec") for name in names)
    open_to_others = {
        str(path): oct(stat.S_IMODE(status.st_mode)) for path, status in modes.items() if status.st_mode & 0o077
    }
    # Whoever is in the agent's group may use the socket, and reach it only where the folder lets the group in.
    assert open_to_others == {"state/control.sock": "0o660"}
    # node_exporter is another user; the metrics hold counters and states, and no secret: the other test greps them.
    assert stat.S_IMODE((whole.folder / "stethos.prom").stat().st_mode) == 0o644


@pytest.mark.usefixtures("permissive")
def test_a_recording_made_on_the_command_line_is_its_owners_alone(whole: Plant) -> None:
    recording = subprocess.Popen(
        [*STETHOS, "record", "agent.toml", "--out", "kept"],
        cwd=whole.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:

        def recorded() -> bool:
            whole.accel(1)  # what is written before the port is open is lost
            return bool(list((whole.folder / "kept").glob("*.strec")))

        wait_until(recorded, 60, "a segment")
    finally:
        recording.terminate()
        recording.wait(60)
    for path in ((whole.folder / "kept"), *(whole.folder / "kept").iterdir()):
        assert not path.stat().st_mode & 0o077, path
