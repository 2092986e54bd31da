"""Programs that an alarm may start: files of one folder, which nobody but root and this user can put there or change."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from agent.config.rights import UntrustedError, check_above, check_owned, status


def trusted_program(folder: Path, name: str) -> Path:
    """The program `name` of `folder`; raises UntrustedError.

    Looked at again before each run: what was safe at the start may have been changed since.
    """
    if not name or "/" in name or name in {".", ".."}:
        raise UntrustedError(f"'{name}' is no file's name: programs lie in {folder} itself")
    for above in folder.absolute().parents:
        check_above(above)
    check_owned(folder, status(folder))
    program = folder / name
    found = status(program)
    if not stat.S_ISREG(found.st_mode):
        raise UntrustedError(f"{program} is no plain file")
    check_owned(program, found)
    if not os.access(program, os.X_OK):
        raise UntrustedError(f"{program} cannot be executed by this user")
    return program
