"""Faults on a schedule: `KIND[:CHANNEL]@START[+DURATION]`, as in `stuck:x@30s+10s` or `bearing-outer@2m`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agent.errors import ConfigError, Problem
from agent.quantities import parse_duration_ns
from agent.toml_structs import nearest
from agent.types import NANOSECONDS

LINK = ("noise", "loss", "repeat", "silence", "unplug")
SENSOR = ("stuck", "drift", "spike", "clipping")
MACHINE = (
    "bearing-outer",
    "bearing-inner",
    "bearing-ball",
    "imbalance",
    "misalignment",
    "cavitation",
    "blocked-filter",
)
KINDS = (*LINK, *SENSOR, *MACHINE)

_FAULT = re.compile(r"(?P<kind>[a-z-]+)(?::(?P<channel>[^@+]+))?@(?P<start>[^+]+)(?:\+(?P<duration>.+))?")
_FOREVER_NS = 1 << 62


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault from `start_ns` until before `end_ns`, both counted from the first sample; `channel` is None for all."""

    kind: str
    start_ns: int
    end_ns: int = _FOREVER_NS
    channel: str | None = None

    def active(self, t_ns: int) -> bool:
        """True while the fault lasts."""
        return self.start_ns <= t_ns < self.end_ns


class Schedule:
    """The faults of one run."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self.faults = tuple(faults)

    def of(self, *kinds: str) -> list[Fault]:
        """The faults of these kinds."""
        return [fault for fault in self.faults if fault.kind in kinds]

    def active(self, kind: str, t_ns: int) -> bool:
        """True while any fault of this kind lasts."""
        return any(fault.active(t_ns) for fault in self.faults if fault.kind == kind)

    def level(self, kind: str, t_s: npt.NDArray[np.float64], grows_s: float = 0.0) -> npt.NDArray[np.float64]:
        """How far a fault has come at each time, float64 [n] from 0 to 1; it takes `grows_s` to grow, and is gone at once."""
        level = np.zeros(len(t_s))
        for fault in self.of(kind):
            start_s = fault.start_ns / NANOSECONDS
            lasting = (t_s >= start_s) & (t_s < fault.end_ns / NANOSECONDS)
            grown = np.clip((t_s - start_s) / grows_s, 0, 1) if grows_s else 1.0
            level = np.maximum(level, lasting * grown)
        return level


def parse_schedule(texts: Sequence[str]) -> Schedule:
    """The schedule that these say; raises ConfigError with every problem."""
    faults, problems = [], []
    for text in texts:
        try:
            faults.append(parse_fault(text))
        except ValueError as error:
            problems.append(Problem(f"--fault {text}", str(error)))
    if problems:
        raise ConfigError(problems)
    return Schedule(faults)


def parse_fault(text: str) -> Fault:
    """One fault; raises ValueError that says which part is wrong."""
    match = _FAULT.fullmatch(text)
    if match is None:
        raise ValueError("is no fault; write KIND@START or KIND:CHANNEL@START+DURATION, as in 'stuck:x@30s+10s'")
    kind, channel = match["kind"], match["channel"]
    if kind not in KINDS:
        raise ValueError(f"there is no fault '{kind}'; {nearest(kind, KINDS)}")
    if channel is not None and kind not in SENSOR:
        raise ValueError(f"'{kind}' is of the whole device; leave out ':{channel}'")
    start_ns = parse_duration_ns(match["start"])
    if match["duration"] is None:
        return Fault(kind, start_ns, channel=channel)
    duration_ns = parse_duration_ns(match["duration"])
    if duration_ns == 0:
        raise ValueError("lasts no time; leave out '+...' for a fault that stays")
    return Fault(kind, start_ns, start_ns + duration_ns, channel)
