"""Checks a configuration in a process of its own, where a model that crashes or hangs takes nothing with it, before the agent runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec

from agent.errors import UNREADABLE, Problem

# Every model is loaded and proved once.
TIMEOUT_S = 300.0


class _Row(msgspec.Struct, frozen=True):
    where: str
    what: str
    remedy: str


class _Checked(msgspec.Struct, frozen=True):
    ok: bool
    problems: list[_Row] = []


def problems_of(config: Path, text: str | None = None) -> list[Problem]:
    """What is wrong with the file `config`, or with `text` in its place; nothing where it can run."""
    command = [sys.executable, "-m", "agent.cli.main", "check", "--json", *([] if text is None else ["--stdin"])]
    given = None if text is None else text.encode()
    try:
        done = subprocess.run(
            [*command, str(config)],
            input=given or b"",
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return [Problem(str(config), f"the check was not done within {TIMEOUT_S:g} s", "look at its models")]
    except OSError as error:
        return [Problem(str(config), f"it could not be checked: {error.strerror}", "free memory, and try again")]
    try:
        found = msgspec.json.decode(done.stdout, type=_Checked)
    except UNREADABLE:
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        return [Problem(str(config), f"the check ended with {done.returncode}: {last[:300]}", "run `stethos check`")]
    return [Problem(row.where, row.what, row.remedy) for row in found.problems]
