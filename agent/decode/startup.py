"""Start-up commands: what is said to a device after its port was opened, and how its answer is told from what else it sends."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from agent.decode.schema import StartupCommand

# An answer is looked for in this much of what came last, so that a device that streams meanwhile costs no more.
REACH_BYTES = 4_096
_SHOWN_BYTES = 64


class Conversation:
    """One command and what comes back for it.

    What arrives before the end of the answer is no data: the device may still be set up otherwise, to another range, say.
    `passed_bytes` counts it, the answer included.
    """

    def __init__(self, command: StartupCommand) -> None:
        self._pattern = answer_pattern(command)
        self._received = b""
        self.passed_bytes = 0

    def feed(self, data: bytes) -> bytes | None:
        """What follows the answer, once that is complete; None until then."""
        received = self._received + data
        found = None if self._pattern is None else self._pattern.search(received)
        if found is not None:
            self.passed_bytes += found.end()
            self._received = b""
            return received[found.end() :]
        kept = received[-REACH_BYTES:]
        self.passed_bytes += len(received) - len(kept)
        self._received = kept
        return None

    def abandon(self) -> bytes:
        """What came instead of the answer, as much as is held of it; counted as passed."""
        self.passed_bytes += len(self._received)
        received, self._received = self._received, b""
        return received


def payload(command: StartupCommand) -> bytes:
    """The bytes to send."""
    return command.send.encode() if command.send is not None else bytes.fromhex(command.send_hex or "")


def answer_pattern(command: StartupCommand) -> re.Pattern[bytes] | None:
    """What the answer looks like; None where none is waited for."""
    if command.expect_hex is not None:
        return re.compile(re.escape(bytes.fromhex(command.expect_hex)))
    return None if command.expect is None else re.compile(command.expect.encode(), re.DOTALL)


def unanswered(command: StartupCommand, received: bytes) -> str:
    """Why a start-up failed: the command, what was awaited, and what came instead."""
    wanted = command.expect if command.expect_hex is None else f"hex {command.expect_hex}"
    tries = f"{command.retries + 1} tries" if command.retries else "1 try"
    came = f"instead came {show(received)}" if received else "nothing came"
    return f"the start-up command {show(payload(command))} was not answered by {wanted!r} in {tries}: {came}"


def show(data: bytes) -> str:
    """Bytes for a message: as text where they are text, else in hex; long ones from their end."""
    head = "..." if len(data) > _SHOWN_BYTES else ""
    data = data[-_SHOWN_BYTES:]
    if all(32 <= byte < 127 or byte in b"\r\n\t" for byte in data):
        return f"{head}{data.decode('ascii')!r}"
    return f"{head}{data.hex(' ')}"


@dataclass(frozen=True, slots=True)
class StartUp:
    """All that is said to a device when its port opens, and again where it falls silent: it may have lost power."""

    commands: tuple[StartupCommand, ...]
    silent_after_s: float


def problems(command: StartupCommand) -> Iterator[tuple[str, str, str]]:
    """What is wrong with one command: its key, what, and the remedy."""
    if (command.send is None) == (command.send_hex is None):
        yield "send", "exactly one of send and send_hex says what to send", 'as in send = "START\\r\\n"'
    if command.expect is not None and command.expect_hex is not None:
        yield "expect", "both expect and expect_hex are given", "keep one"
    for key, text in (("send_hex", command.send_hex), ("expect_hex", command.expect_hex)):
        if text is not None and not _is_hex(text):
            yield key, f"'{text}' is no hex", 'write pairs of digits, as in "01 a0"'
    if command.expect is not None:
        try:
            empty = re.compile(command.expect.encode()).search(b"") is not None
        except re.error as error:
            yield "expect", f"'{command.expect}' is no regular expression: {error}", "see Python's re module"
        else:
            if empty:
                yield "expect", f"'{command.expect}' is found in nothing at all", "name a byte that must come"


def _is_hex(text: str) -> bool:
    try:
        return bool(bytes.fromhex(text))
    except ValueError:
        return False
