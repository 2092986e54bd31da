"""systemd hears what it should, through a real datagram socket, by path and by abstract name."""

from __future__ import annotations

import logging
import os
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.notify import Notifier


@pytest.fixture(params=["path", "abstract"])
def ear(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A bound socket and what $NOTIFY_SOCKET says of it."""
    address = str(tmp_path / "notify") if request.param == "path" else f"@stethos-test-{uuid.uuid4()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind(address.replace("@", "\0", 1) if request.param == "abstract" else address)
        bound.settimeout(30)
        yield bound, address


def test_each_state_is_one_datagram(ear: tuple[socket.socket, str]) -> None:
    bound, address = ear
    notifier = Notifier({"NOTIFY_SOCKET": address})
    notifier.still_starting("reading the outbox", 60.0)
    notifier.ready("2 devices\n1 machine")
    notifier.status("all well")
    notifier.watchdog()
    notifier.stopping("draining")
    assert [bound.recv(4096) for _ in range(5)] == [
        b"EXTEND_TIMEOUT_USEC=60000000\nSTATUS=reading the outbox",
        b"READY=1\nSTATUS=2 devices 1 machine",
        b"STATUS=all well",
        b"WATCHDOG=1",
        b"STOPPING=1\nSTATUS=draining",
    ]


def test_without_a_socket_nothing_happens_and_nothing_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    notifier = Notifier({})
    notifier.ready("x")
    notifier.watchdog()
    assert notifier.watchdog_ns is None
    assert caplog.records == []


def test_a_deaf_systemd_is_logged_and_does_not_stop_the_agent(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).ready("x")
    assert "READY=1" in caplog.text


def test_a_full_socket_does_not_block_the_agent_for_ever(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as filler,
    ):
        bound.bind(str(tmp_path / "full"))
        filler.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                filler.sendto(b"x", str(tmp_path / "full"))
        Notifier({"NOTIFY_SOCKET": str(tmp_path / "full")}).watchdog()
    assert "WATCHDOG=1" in caplog.text


@pytest.mark.parametrize(
    ("environ", "expected_ns"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30_000_000_000),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30_000_000_000),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "x"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_watches_this_process_only(environ: dict[str, str], expected_ns: int | None) -> None:
    assert Notifier(environ).watchdog_ns == expected_ns
