"""The command line as somebody types it: called in this process, which is quick, or as a process of its own."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from click.testing import CliRunner, Result

from agent.cli.main import main

STETHOS = (sys.executable, "-m", "agent.cli.main")


def stethos(*arguments: object, **how: Any) -> Result:
    """`how` is CliRunner.invoke's: `input` for one, what is typed."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments], prog_name="stethos", **how)


def stethos_process(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Beside a daemon, which sees another process ask."""
    return subprocess.run([*STETHOS, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=100)
