"""The local socket: who asks, how many at once, what a rude or vanished client does to the others, and what lies in the way at the start."""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import random
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.clock import SystemClock
from agent.commands.dispatcher import Asked
from agent.commands.request import MAX_BYTES, RequestError
from agent.control.client import NoAgentError, connected
from agent.control.server import MAX_CLIENTS, ControlServer
from agent.errors import LinkError
from tests.harness.broker import wait_until
from tests.harness.commands import Desk


class Serving:
    """A dispatcher's desk behind a real socket; requests are carried out in a thread of their own, as the pipeline does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.desk = Desk()
        self.asked: list[Asked] = []
        self.silent = False
        self.server = ControlServer(path, self, SystemClock())
        self.stop = threading.Event()
        self.failure: Exception | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)

    def submit(self, asked: Asked) -> None:
        self.asked.append(asked)
        if not self.silent:
            threading.Thread(target=self._serve, args=(asked,)).start()

    def _serve(self, asked: Asked) -> None:
        self.desk.dispatcher.submit(asked)
        commit = self.desk.dispatcher.serve()
        for answer in commit.answers if commit is not None else ():
            answer()

    def _run(self) -> None:
        try:
            self.server.run(self.stop)
        except Exception as error:
            self.failure = error

    def _listens(self) -> bool:
        with contextlib.suppress(NoAgentError), connected(self.path):
            return True
        return False

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        self.thread.start()
        wait_until(lambda: self.failure is not None or self._listens(), 30, "the socket")
        try:
            yield
        finally:
            self.stop.set()
            self.thread.join(30)
            assert not self.thread.is_alive()


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    made = Serving(tmp_path / "control.sock")
    with made.running():
        yield made


def dial(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(30)
    sock.connect(str(path))
    return sock


def test_the_kernel_says_who_asks(serving: Serving) -> None:
    with connected(serving.path) as client:
        client.ask("alarms.remove", {"machine": "pump", "comment": "repair"})
    assert serving.asked[0].peer == getpass.getuser()
    assert serving.desk.plant.alarms["pump"].hidden[0].override.by == getpass.getuser()


def test_a_refusal_is_an_error_with_the_reason(serving: Serving) -> None:
    with connected(serving.path) as client:
        with pytest.raises(RequestError, match="no machine 'mill'"):
            client.ask("alarms.list", {"machine": "mill"})
        assert client.ask("alarms.list", {}) == {"alarms": [], "hidden": []}


def test_requests_sent_all_at_once_are_answered_in_their_order(serving: Serving) -> None:
    with dial(serving.path) as sock:
        sock.sendall(b"".join(b'{"command": "alarms.list", "transaction": %d}\n' % n for n in range(20)))
        lines = sock.makefile("rb")
        assert [json.loads(lines.readline())["transaction"] for _ in range(20)] == list(range(20))


def test_any_bytes_leave_the_server_answering_others(serving: Serving) -> None:
    randomness = random.Random(5)
    for size in (0, 1, 100, MAX_BYTES, MAX_BYTES + 1, 5 * MAX_BYTES):
        with dial(serving.path) as sock, contextlib.suppress(OSError):
            sock.sendall(randomness.randbytes(size))
            sock.sendall(b"\n{}\n[]\n\xff\n\n")
    with dial(serving.path) as sock:
        sock.sendall(b"x" * (MAX_BYTES + 100))
        assert json.loads(sock.makefile("rb").readline())["error"].endswith("is the most")
    with connected(serving.path) as client:
        assert client.ask("alarms.list", {}) == {"alarms": [], "hidden": []}
    assert serving.failure is None


def test_a_client_that_reads_nothing_holds_up_nobody(serving: Serving) -> None:
    with dial(serving.path) as lazy:
        lazy.sendall(b'{"command": "commands.list"}\n' * 500)
        for _ in range(20):
            with connected(serving.path) as client:
                assert client.ask("alarms.list", {})["alarms"] == []


def test_a_client_that_left_before_its_answer_is_forgotten(serving: Serving) -> None:
    serving.silent = True
    with dial(serving.path) as sock:
        sock.sendall(b'{"command": "alarms.list"}\n')
        wait_until(lambda: len(serving.asked) == 1, 30, "the request")
    serving.asked[0].answer(b'{"status": "ok"}')
    serving.silent = False
    with connected(serving.path) as client:
        assert client.ask("alarms.list", {})["alarms"] == []


def test_no_more_than_eight_are_connected_and_one_that_leaves_makes_room(serving: Serving) -> None:
    with contextlib.ExitStack() as exits:
        several = [exits.enter_context(dial(serving.path)) for _ in range(MAX_CLIENTS)]
        for sock in several:
            sock.sendall(b'{"command": "alarms.list"}\n')
            assert sock.recv(100_000)
        with dial(serving.path) as more:
            assert more.recv(1) == b""
        several[0].close()

        def room() -> bool:
            with contextlib.suppress(LinkError), connected(serving.path) as client:
                return client.ask("alarms.list", {})["alarms"] == []
            return False

        wait_until(room, 30, "room for one more")


def test_a_server_that_does_not_answer_is_given_up(serving: Serving) -> None:
    serving.silent = True
    with connected(serving.path) as client, pytest.raises(LinkError, match=r"no answer within 0\.2 s; it may still be"):
        client.ask("alarms.list", {}, timeout_s=0.2)


def test_what_a_killed_agent_left_is_replaced_and_other_things_are_not(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with pytest.raises(NoAgentError), connected(path):
        pass
    with Serving(path).running(), connected(path) as client:
        assert client.ask("alarms.list", {})["alarms"] == []
        rival = Serving(path)
        with rival.running():
            rival.thread.join(30)
        assert "another agent listens there" in str(rival.failure)
        assert client.ask("alarms.list", {})["alarms"] == []
    assert not path.exists()
    path.write_text("somebody's notes")
    blocked = Serving(path)
    with blocked.running():
        blocked.thread.join(30)
    assert "no socket" in str(blocked.failure)
    assert path.read_text() == "somebody's notes"


def test_a_path_longer_than_the_kernel_takes_works_too(tmp_path: Path) -> None:
    folder = tmp_path.joinpath(*["deep" * 8] * 4)
    folder.mkdir(parents=True)
    path = folder / "control.sock"
    assert len(os.fsencode(path)) > 107
    with Serving(path).running(), connected(path) as client:
        assert client.ask("alarms.list", {})["alarms"] == []


def test_nobody_listens_where_no_agent_runs(tmp_path: Path) -> None:
    with pytest.raises(NoAgentError, match="no agent runs here"), connected(tmp_path / "control.sock"):
        pass


def test_a_request_waits_until_the_one_before_it_is_answered(serving: Serving) -> None:
    serving.silent = True
    with dial(serving.path) as sock:
        sock.sendall(b'{"command": "alarms.list"}\n{"command": "alarms.history"}\n')
        wait_until(lambda: len(serving.asked) == 1, 30, "the first request")
        serving.asked[0].answer(b"{}")
        wait_until(lambda: len(serving.asked) == 2, 30, "the second request")
        assert [asked.name for asked in serving.asked] == ["alarms.list", "alarms.history"]
