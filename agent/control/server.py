"""Answers local requests on a Unix socket, a JSON object a line each way; the kernel says which user asks."""

from __future__ import annotations

import contextlib
import logging
import os
import pwd
import selectors
import socket
import stat
import struct
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import msgspec

from agent.clock import Clock
from agent.commands.dispatcher import Asked
from agent.commands.request import MAX_BYTES
from agent.control.address import socket_address
from agent.errors import UNREADABLE, LinkError
from agent.types import NANOSECONDS
from agent.waker import Waker

log = logging.getLogger(__name__)

MAX_CLIENTS = 8
_TICK_S = 0.5
_IDLE_NS = 30 * NANOSECONDS
_WORK_NS = 600 * NANOSECONDS  # to prove a large model
_READ_BYTES = 64 * 1024
_SOMEBODY = 65_534  # user_namespaces(7): any user without a number in this namespace
_CREDENTIALS = struct.Struct("3i")  # ucred of unix(7): pid, uid, gid


class Submit(Protocol):
    """Takes requests over; never waits."""

    def submit(self, asked: Asked) -> None: ...


class _Line(msgspec.Struct, frozen=True):
    command: str


@dataclass(slots=True)
class _Client:
    """One connection; it has at most one request that is not answered yet."""

    number: int
    sock: socket.socket
    user: str
    since_ns: int
    received: bytearray = field(default_factory=bytearray)
    to_send: bytearray = field(default_factory=bytearray)
    waiting: bool = False


class ControlServer:
    """`run` is a thread's body. Eight may be connected at once; who says nothing for 30 s, and waits for no answer, is let go."""

    def __init__(self, path: Path, dispatcher: Submit, clock: Clock) -> None:
        self._path = path
        self._dispatcher = dispatcher
        self._clock = clock
        self._next_number = 0
        self._clients: dict[int, _Client] = {}
        # Shared, under the lock:
        self._lock = threading.Lock()
        self._answers: deque[tuple[int, bytes]] = deque()  # at most one a client
        self._waker = Waker()

    def run(self, stop: threading.Event) -> None:
        """Listen until `stop`; raises LinkError where the socket cannot be made."""
        with (
            _listening(self._path) as listener,
            self._waker.listening() as wake,
            selectors.DefaultSelector() as selector,
        ):
            selector.register(listener, selectors.EVENT_READ)
            selector.register(wake, selectors.EVENT_READ)
            try:
                while not stop.is_set():
                    self._turn(selector, listener, wake)
            finally:
                for client in list(self._clients.values()):
                    self._let_go(client, selector)

    def _turn(self, selector: selectors.BaseSelector, listener: socket.socket, wake: socket.socket) -> None:
        for key, events in selector.select(_TICK_S):
            if key.fileobj is listener:
                self._accept(listener, selector)
            elif key.fileobj is wake:
                with contextlib.suppress(BlockingIOError):
                    wake.recv(4096)
            else:
                self._serve(key.data, events, selector)
        self._take_answers(selector)
        now_ns = self._clock.monotonic_ns()
        for client in list(self._clients.values()):
            if now_ns - client.since_ns > (_WORK_NS if client.waiting else _IDLE_NS):
                self._let_go(client, selector)

    def _accept(self, listener: socket.socket, selector: selectors.BaseSelector) -> None:
        try:
            sock, _ = listener.accept()
        except OSError as error:  # it hung up already, or there is no descriptor left
            log.warning("a local connection was not accepted: %s", error)
            return
        if len(self._clients) >= MAX_CLIENTS:
            sock.close()
            return
        sock.setblocking(False)
        self._next_number += 1
        client = _Client(self._next_number, sock, _user(sock), self._clock.monotonic_ns())
        self._clients[client.number] = client
        selector.register(sock, selectors.EVENT_READ, client)

    def _serve(self, client: _Client, events: int, selector: selectors.BaseSelector) -> None:
        try:
            if events & selectors.EVENT_READ:
                data = client.sock.recv(_READ_BYTES)
                if not data:
                    self._let_go(client, selector)
                    return
                client.received += data
            if events & selectors.EVENT_WRITE:
                del client.to_send[: client.sock.send(client.to_send)]
        except BlockingIOError:
            return
        except OSError:
            self._let_go(client, selector)
            return
        self._ask_next(client)
        self._watch(client, selector)

    def _ask_next(self, client: _Client) -> None:
        """Hand over the next line, once the one before is answered; a line without an end that is too long is one too."""
        if client.waiting or client.to_send:
            return
        line, newline, rest = client.received.partition(b"\n")
        if not newline and len(line) <= MAX_BYTES:
            return
        client.received = rest
        client.since_ns = self._clock.monotonic_ns()
        client.waiting = True
        number = client.number
        name, payload = _named(bytes(line))
        self._dispatcher.submit(Asked(name, payload, client.user, lambda data: self._answer(number, data)))

    def _answer(self, number: int, data: bytes) -> None:
        """Called in any thread."""
        with self._lock:
            self._answers.append((number, data))
        self._waker.wake()

    def _take_answers(self, selector: selectors.BaseSelector) -> None:
        with self._lock:
            answers = list(self._answers)
            self._answers.clear()
        for number, data in answers:
            client = self._clients.get(number)
            if client is not None:
                client.waiting = False
                client.since_ns = self._clock.monotonic_ns()
                client.to_send += data + b"\n"
                self._watch(client, selector)

    def _watch(self, client: _Client, selector: selectors.BaseSelector) -> None:
        """Nothing is read from a client that has a request under way: what it sends meanwhile waits in the kernel, which bounds it."""
        if client.sock in selector.get_map():
            selector.unregister(client.sock)
        if client.to_send:
            selector.register(client.sock, selectors.EVENT_WRITE, client)
        elif not client.waiting:
            selector.register(client.sock, selectors.EVENT_READ, client)

    def _let_go(self, client: _Client, selector: selectors.BaseSelector) -> None:
        if client.sock in selector.get_map():
            selector.unregister(client.sock)
        client.sock.close()
        del self._clients[client.number]


def _named(line: bytes) -> tuple[str, bytes]:
    """The command of a line, and the line without it, as its request; a line that names none is left as it is."""
    try:
        name = msgspec.json.decode(line, type=_Line).command
        fields = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    except UNREADABLE:
        return "", line
    fields.pop("command", None)
    return name, msgspec.json.encode(fields)


def _user(sock: socket.socket) -> str:
    """Who is at the other end, by the name that this box knows the user by; in a user namespace the kernel may not say."""
    _, uid, _ = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    if uid == _SOMEBODY:
        return "a local user"
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


@contextlib.contextmanager
def _listening(path: Path) -> Iterator[socket.socket]:
    """A socket that its owner and group may use; what a killed agent left there is replaced, a living one is not."""
    with contextlib.ExitStack() as exits, socket.socket(socket.AF_UNIX) as listener:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            address = exits.enter_context(socket_address(path))
            _make_way(path, address)
            os.fchmod(listener.fileno(), 0o660)  # so that it is never open to more, whatever the umask
            listener.bind(address)
            _open_to_group(path)
            listener.listen(MAX_CLIENTS)
            listener.setblocking(False)
        except OSError as error:
            raise LinkError(
                f"{path}: {error.strerror or error}; set [commands] socket to where one can be made"
            ) from error
        try:
            yield listener
        finally:
            path.unlink(missing_ok=True)


def _open_to_group(path: Path) -> None:
    """The umask took the group's right at `bind`; a link that somebody put there since is not followed."""
    made = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if stat.S_ISSOCK(os.fstat(made).st_mode):
            Path(f"/proc/self/fd/{made}").chmod(0o660)
    finally:
        os.close(made)


def _make_way(path: Path, address: str) -> None:
    if not path.is_socket() and not path.exists():
        return
    if not stat.S_ISSOCK(path.lstat().st_mode):
        raise LinkError(f"{path} is there, and no socket: move it away, or set [commands] socket")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(address)
        except ConnectionRefusedError:
            path.unlink()
            return
    raise LinkError(f"{path}: another agent listens there; give each its own [commands] socket")
