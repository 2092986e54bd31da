"""The figures of docs/figures.json: one record each, replaced group by group, sorted by name."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """What one measurement found; the group is the first part of the dotted name.

    `against` says in words what `value` was held against, `goal` what it must be; either may be None.
    """

    name: str
    value: float
    unit: str
    against: str | None = None
    goal: str | None = None

    @property
    def group(self) -> str:
        return self.name.split(".")[0]


def record(figure: Figure, command: str, measured: str, host: str) -> dict[str, object]:
    """The figure as docs/figures.json holds it."""
    return {**asdict(figure), "command": command, "measured": measured, "host": host}


def update(
    path: Path, group: str, found: Sequence[Figure], command: str | None = None, host: str | None = None
) -> None:
    """Put `found` in the place of all of `group` that the same command measured before; all others stay as they are.

    A part of a group that is measured apart has a `command` of its own, and a `host` where that is more than its processor.
    """
    if strange := [figure.name for figure in found if figure.group != group]:
        raise ValueError(f"{', '.join(strange)} cannot come from the group {group}")
    made_by = command or f"make bench ONLY={group}"
    _replace(path, lambda old: old["name"].split(".")[0] == group and old["command"] == made_by, found, made_by, host)


def put(path: Path, figure: Figure, command: str) -> None:
    """Put `figure`, made by `command`, in the place of the one of its name; all others stay as they are."""
    _replace(path, lambda old: False, [figure], command)


def _replace(
    path: Path,
    is_old: Callable[[dict[str, str]], bool],
    found: Sequence[Figure],
    command: str,
    host: str | None = None,
) -> None:
    known = json.loads(path.read_text()) if path.exists() else []
    names = {figure.name for figure in found}
    kept = [entry for entry in known if entry["name"] not in names and not is_old(entry)]
    measured = datetime.now(UTC).date().isoformat()
    entries = kept + [record(figure, command, measured, host or this_host()) for figure in found]
    path.write_text(json.dumps(sorted(entries, key=lambda entry: entry["name"]), indent=2, ensure_ascii=False) + "\n")


def this_host(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's name and the cores that this process may use."""
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown processor")
    cores = len(os.sched_getaffinity(0))
    return f"{name}, {cores} core{'' if cores == 1 else 's'}"


def significant(value: float, digits: int = 3) -> float:
    """`value` without the digits that another run would change."""
    return float(f"{value:.{digits}g}")
