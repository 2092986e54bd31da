"""What goes wrong when: from a seed and a length alone, so that every process of a run, and a later run, knows the same schedule."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

BEFORE_S = 15.0  # the plant runs in peace
AFTER_S = 25.0  # everything is whole again, and what waits may go out
# The daemon's own deaths come first, so that its memory can be watched over one long life behind them.
RESTARTS_SHARE = 1 / 3
_LONG_RUN_S = 540.0


class Kind(enum.StrEnum):
    """Everything that can go wrong, by who or what it befalls."""

    # the way to the upstream broker
    BROKER_KILLED = "broker killed"
    CUT = "link cut"
    HALF_OPEN = "link half-open"
    BLACK_HOLE = "link blackholed"
    SLOW = "link slow"
    # the daemon and its box
    SIGKILL = "daemon SIGKILL"
    SIGTERM = "daemon SIGTERM"
    DISK_FULL = "disk full"
    CLOCK_STEP = "clock step"
    # the way from the devices
    SITE_BROKER_KILLED = "devices' broker killed"
    UNPLUGGED = "unplugged"
    SILENT = "silent"
    NOISE = "noise"
    # the machine that a device is on
    MACHINE = "machine fault"


UPSTREAM = (Kind.BROKER_KILLED, Kind.CUT, Kind.HALF_OPEN, Kind.BLACK_HOLE, Kind.SLOW)
# How long each lasts, seconds: the least and the most.
_LASTS_S: Mapping[Kind, tuple[float, float]] = {
    Kind.BROKER_KILLED: (2.0, 15.0),
    Kind.CUT: (2.0, 15.0),
    Kind.HALF_OPEN: (6.0, 15.0),
    Kind.BLACK_HOLE: (6.0, 15.0),
    Kind.SLOW: (6.0, 15.0),
    Kind.SIGKILL: (0.0, 2.0),
    Kind.SIGTERM: (0.0, 2.0),
    Kind.DISK_FULL: (8.0, 20.0),
    Kind.SITE_BROKER_KILLED: (2.0, 8.0),
    Kind.UNPLUGGED: (3.0, 12.0),
    Kind.SILENT: (4.0, 10.0),
    Kind.NOISE: (1.0, 5.0),
}
_LONG_OUTAGE_S = 90.0  # one in each ten minutes or so: the outbox fills and must give up summaries
_CLOCK_STEPS_S = (-3_600.0, -2.5, 2.5, 3_600.0)


@dataclass(frozen=True, slots=True)
class Event:
    """One thing going wrong, in seconds from the start of the run; `size_s` is how far a clock is set."""

    start_s: float
    end_s: float
    kind: Kind
    size_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Subject:
    """A device, or what several hang on: what can befall it, and how long its machine's faults last (0: it has no machine)."""

    name: str
    kinds: Sequence[Kind]
    fault_s: float


@dataclass(frozen=True, slots=True)
class Plan:
    """The schedule of one run; `host` befalls the daemon, its box and both brokers, `subjects` the devices by name."""

    seconds: float
    host: tuple[Event, ...]
    subjects: Mapping[str, tuple[Event, ...]]

    @property
    def quiet_from_s(self) -> float:
        """When the last of it is over."""
        return self.seconds - AFTER_S

    @property
    def long_life_from_s(self) -> float:
        """From here on the daemon is left alive."""
        return _restarts_end_s(self.seconds)


def plan(seconds: float, seed: int, subjects: Sequence[Subject]) -> Plan:
    """The schedule of a run of `seconds`; raises ValueError where that is too short for anything to happen."""
    if seconds < BEFORE_S + AFTER_S + 60:
        raise ValueError(f"a soak of {seconds:g} s shows nothing; make it two minutes or more")
    split_s, end_s = _restarts_end_s(seconds), seconds - AFTER_S
    random = np.random.default_rng([seed, 0])
    host = [
        *_track(random, (BEFORE_S, end_s), (4.0, 12.0), UPSTREAM),
        *_track(random, (BEFORE_S, split_s), (8.0, 20.0), (Kind.SIGKILL, Kind.SIGTERM)),
        *_track(random, (split_s, end_s), (15.0, 60.0), (Kind.DISK_FULL,)),
        *_track(random, (BEFORE_S, end_s), (60.0, 120.0), (Kind.SITE_BROKER_KILLED,)),
        *_clock_steps(random, (split_s, end_s)),
    ]
    befalls = {
        subject.name: tuple(_of_subject(np.random.default_rng([seed, 1, number]), subject, end_s))
        for number, subject in enumerate(subjects)
    }
    return Plan(seconds, tuple(sorted(host, key=lambda event: event.start_s)), befalls)


def _restarts_end_s(seconds: float) -> float:
    return BEFORE_S + (seconds - BEFORE_S - AFTER_S) * RESTARTS_SHARE


def _track(
    random: np.random.Generator, within_s: tuple[float, float], pause_s: tuple[float, float], kinds: Sequence[Kind]
) -> Iterator[Event]:
    """One after the other with pauses between, every kind once before any comes again."""
    at_s, end_s = within_s
    long_due_s = at_s + 60 if end_s - at_s >= _LONG_RUN_S - BEFORE_S - AFTER_S and kinds is UPSTREAM else np.inf
    bag: list[Kind] = []
    while True:
        bag = bag or [kinds[index] for index in random.permutation(len(kinds))]
        kind = bag.pop()
        start_s = at_s + random.uniform(*pause_s)
        at_s = start_s + random.uniform(*_LASTS_S[kind])
        if start_s >= long_due_s and kind in {Kind.CUT, Kind.BLACK_HOLE}:
            at_s, long_due_s = start_s + _LONG_OUTAGE_S, start_s + _LONG_RUN_S
        if at_s > end_s:
            return
        yield Event(start_s, at_s, kind)


def _clock_steps(random: np.random.Generator, within_s: tuple[float, float]) -> Iterator[Event]:
    """The clock is set, and set right again a while later: to and fro."""
    at_s, end_s = within_s
    while (at_s := at_s + random.uniform(20.0, 60.0)) < end_s - 10:
        lasts_s = random.uniform(5.0, 10.0)
        yield Event(at_s, at_s + lasts_s, Kind.CLOCK_STEP, float(random.choice(_CLOCK_STEPS_S)))
        at_s += lasts_s


def _of_subject(random: np.random.Generator, subject: Subject, end_s: float) -> Iterator[Event]:
    """What befalls one device: its machine fails now and then, its line does, and neither waits for the other."""
    events = list(_track(random, (BEFORE_S, end_s), (30.0, 180.0), subject.kinds))
    at_s = BEFORE_S
    while subject.fault_s and (start_s := at_s + random.uniform(25.0, 70.0)) + subject.fault_s < end_s:
        at_s = start_s + subject.fault_s
        events.append(Event(start_s, at_s, Kind.MACHINE))
    yield from sorted(events, key=lambda event: event.start_s)
