"""Who may open a port and who has it open, as far as this user may see: programs of others stay unseen without root's rights."""

from __future__ import annotations

import contextlib
import grp
import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from agent.ports.table import Access


def access(paths: Iterable[str]) -> dict[str, Access]:
    """By path, with links resolved."""
    holders = _holders()
    return {path: Access(tuple(holders.get(path, ())), denied_group(path)) for path in paths}


def denied_group(path: str) -> str | None:
    """None where this user may read and write `path`, else the group that may."""
    if os.access(path, os.R_OK | os.W_OK):
        return None
    try:
        gid = Path(path).stat().st_gid
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
    except OSError:  # it was unplugged since it was listed
        return None


def _holders() -> dict[str, list[str]]:
    """Programs as `name (pid)`, by the device that they have open."""
    holders: defaultdict[str, list[str]] = defaultdict(list)
    for process in sorted(int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()):
        for path in sorted(_open_devices(Path("/proc") / str(process))):
            holders[path].append(f"{_name(process)} ({process})")
    return holders


def _open_devices(process: Path) -> set[str]:
    found: set[str] = set()
    with contextlib.suppress(OSError):  # of another user, or ended meanwhile
        for descriptor in (process / "fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                found.add(str(descriptor.readlink()))
    return {path for path in found if path.startswith("/dev/")}


def _name(process: int) -> str:
    try:
        return Path(f"/proc/{process}/comm").read_text().strip()
    except OSError:
        return "a program that just ended"
