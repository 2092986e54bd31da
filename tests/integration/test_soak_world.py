"""What the soak does to the network and to the clock really happens, or it would prove nothing."""

from __future__ import annotations

import os
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.clock_step import ClockStep
from tests.soak.way import State, Way


class Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while data := self.request.recv(4096):
            self.request.sendall(data)


@pytest.fixture
def way() -> Iterator[Way]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with Way(server.server_address[1]) as leading:
            yield leading
        server.shutdown()


def connect(way: Way) -> socket.socket:
    return socket.create_connection(("127.0.0.1", way.port), timeout=30)


def answer(connection: socket.socket, timeout_s: float = 30.0) -> bytes | None:
    """The echo; None where the connection is over, empty where nothing comes."""
    connection.settimeout(timeout_s)
    try:
        connection.sendall(b"x")
        return connection.recv(1) or None
    except TimeoutError:
        return b""
    except OSError:
        return None


def test_a_cut_ends_connections_until_it_is_open_again(way: Way) -> None:
    with connect(way) as before:
        assert answer(before) == b"x"
        way.become(State.CUT)
        assert answer(before) is None
    with connect(way) as refused:
        assert answer(refused) is None
    way.become(State.OPEN)
    with connect(way) as after:
        assert answer(after) == b"x"


def test_a_black_hole_takes_connections_and_says_nothing_and_ends_them_when_it_is_over(way: Way) -> None:
    with connect(way) as before:
        assert answer(before) == b"x"
        way.become(State.BLACK_HOLE)
        with connect(way) as new:
            assert answer(before, 0.2) == answer(new, 0.2) == b""
            way.become(State.OPEN)
            assert answer(before) is answer(new) is None
    with connect(way) as after:
        assert answer(after) == b"x"


def test_a_half_open_connection_is_dead_and_a_new_one_is_sound(way: Way) -> None:
    with connect(way) as before:
        assert answer(before) == b"x"
        way.leave_half_open()
        assert answer(before, 0.2) == b""
        with connect(way) as after:
            assert answer(after) == b"x"


def test_a_slow_way_carries_everything_and_takes_its_time(way: Way) -> None:
    with connect(way) as connection:
        assert answer(connection) == b"x"
        way.become(State.SLOW)
        assert answer(connection) == b"x"  # what was waited for before may come as fast as ever
        connection.settimeout(30)
        started = time.monotonic()
        connection.sendall(bytes(2_048))
        received = 0
        while received < 2_048:
            received += len(connection.recv(2_048))
        assert time.monotonic() - started >= 0.2


def test_the_clock_is_set_for_one_process_alone(tmp_path: Path) -> None:
    step = ClockStep(tmp_path)
    script = "import time\nwhile input(): print(time.time(), time.monotonic(), flush=True)"
    environment = {**os.environ, **step.environment}
    with subprocess.Popen(
        [sys.executable, "-c", script], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        for seconds in (0.0, 3_600.0, -2.5, 0.0):
            step.set_off(seconds)
            begun_s, monotonic_begun_s = time.time(), time.monotonic()
            process.stdin.write("go\n")
            process.stdin.flush()
            wall_s, monotonic_s = map(float, process.stdout.readline().split())
            assert begun_s <= wall_s - seconds <= time.time()
            assert monotonic_begun_s <= monotonic_s <= time.monotonic()
        process.kill()
