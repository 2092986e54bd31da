"""A device's half of its start-up commands: what the profile awaits, said when the command has come."""

from __future__ import annotations

import re
from collections.abc import Sequence

from agent.decode.schema import StartupCommand
from agent.decode.startup import REACH_BYTES, answer_pattern, payload

_ANCHORS = "^$"


class Answers:
    """Hears what the host says; a command whose answer cannot be told from its pattern stays unanswered."""

    def __init__(self, commands: Sequence[StartupCommand]) -> None:
        self._answers = [(payload(command), _answer(command)) for command in commands]
        self._heard = b""

    def feed(self, data: bytes) -> bytes:
        """The answers to the commands that `data` completes."""
        heard, said = (self._heard + data)[-REACH_BYTES:], b""
        for command, answer in self._answers:
            if command in heard:
                heard = heard.split(command, 1)[1]
                said += answer
        self._heard = heard
        return said


def _answer(command: StartupCommand) -> bytes:
    """Bytes that the command's pattern is content with; none where only a device could know them."""
    if command.expect_hex is not None:
        return bytes.fromhex(command.expect_hex)
    literal = re.sub(r"\\(.)", r"\1", (command.expect or "").strip(_ANCHORS)).encode()
    pattern = answer_pattern(command)
    return literal if pattern is not None and pattern.fullmatch(literal) else b""
