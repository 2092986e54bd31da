"""How long the real daemon takes to be whole again after each fault: from the fault's end until an alarm of the meantime is at the broker."""

from __future__ import annotations

import contextlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.bench.figures import Figure, significant
from tests.e2e.plant import FAULT, Plant, latest
from tests.harness.broker import wait_until
from tests.harness.names import Names
from tests.harness.proxy import Proxy
from tests.harness.small_disk import fill, small_disk
from tests.harness.stepped_clock import SteppedClock

_ROUNDS = 5
_LONG_ROUNDS = 3  # of faults that are noticed by the clock
_FAULT_S = 5.0
_SWALLOWED_S = 60.0
_DISK_MIB = 16
# A connection that has stood for ten seconds is tried again at once; sooner, the waits of one round would add to those of the next.
_APART_S = 11.0
_PATIENCE_S = 120.0
_NAME = "broker.plant"

Act = Callable[[], None]


def measure() -> Iterator[Figure]:
    """Median and longest of each fault."""
    for name, what, goal_s, rounds in _FAULTS:
        with tempfile.TemporaryDirectory() as folder:
            taken_s = list(rounds(Path(folder)))
        against = f"{len(taken_s)} rounds, {what}"
        yield Figure(f"heal_link.{name}.median", significant(statistics.median(taken_s)), "s", against)
        yield Figure(f"heal_link.{name}.max", significant(max(taken_s)), "s", against, f"<= {goal_s}")


@contextlib.contextmanager
def _plant(folder: Path) -> Iterator[tuple[Plant, Proxy]]:
    """The daemon at work, and the cable to its broker."""
    with Plant(folder) as plant, Proxy(plant.broker.port) as cable:
        plant.write_config(cable.port)
        _start(plant)
        yield plant, cable


def _start(plant: Plant) -> None:
    plant.daemon.start()
    plant.accel(20)
    _heard_after(plant, lambda: None, lambda: _alarm(plant))


def _alarm(plant: Plant) -> None:
    """One alarm comes and goes."""
    plant.accel(5, FAULT)
    plant.accel(5)


def _heard_after(plant: Plant, mend: Act, then: Act = lambda: None) -> float:
    """Seconds from the end of `mend` until an alarm event arrives at the broker that was not there when it began."""
    before = _events(plant)
    mend()
    mended = time.monotonic()
    then()
    wait_until(lambda: _events(plant) > before, _PATIENCE_S, "an alarm at the broker")
    taken_s = time.monotonic() - mended
    time.sleep(_APART_S)
    return taken_s


def _outage(plant: Plant, spoil: Act, mend: Act, lasts_s: float = _FAULT_S) -> float:
    """One round of a fault that keeps alarms from the broker: one comes and goes meanwhile."""
    spoil()
    _alarm(plant)
    time.sleep(lasts_s)
    return _heard_after(plant, mend)


def _events(plant: Plant) -> int:
    """Alarm events that the broker has taken so far, by its log, which no consumer's own reconnecting delays."""
    return sum("Received PUBLISH" in line and "machine/pump/alarm'" in line for line in plant.broker.log().splitlines())


def _link_cut(folder: Path) -> Iterator[float]:
    with _plant(folder) as (plant, cable):
        for _ in range(_ROUNDS):
            yield _outage(plant, cable.cut, cable.plug)


def _half_open(folder: Path) -> Iterator[float]:
    with _plant(folder) as (plant, cable):
        for _ in range(_LONG_ROUNDS):
            yield _heard_after(plant, cable.half_open, lambda: _alarm(plant))


def _swallowed(folder: Path) -> Iterator[float]:
    with _plant(folder) as (plant, cable):
        for _ in range(_LONG_ROUNDS):
            yield _outage(plant, cable.swallow, cable.plug, _SWALLOWED_S)


def _broker_restart(folder: Path) -> Iterator[float]:
    with _plant(folder) as (plant, _):
        for _ in range(_ROUNDS):
            yield _outage(plant, plant.broker.kill, plant.broker.start)


def _unplug(folder: Path) -> Iterator[float]:
    with _plant(folder) as (plant, _):
        for _ in range(_ROUNDS):
            plant.port.unplug()
            time.sleep(_FAULT_S)
            yield _heard_after(plant, plant.port.plug, lambda: (plant.accel(10), _alarm(plant)))


def _disk_full(folder: Path) -> Iterator[float]:
    with contextlib.ExitStack() as exits:
        disk = exits.enter_context(small_disk(folder / "state", _DISK_MIB))
        disk.chmod(0o700)
        plant, _ = exits.enter_context(_plant(folder))
        consumer = exits.enter_context(plant.consumer())
        for _ in range(_ROUNDS):
            filling = disk / "filling"
            deadline = time.monotonic() + _PATIENCE_S
            while not _outbox_fails(latest(consumer, "health")):
                if time.monotonic() > deadline:
                    raise RuntimeError("the outbox never noticed that the disk is full")
                fill(filling)
                _alarm(plant)
                time.sleep(0.5)
            time.sleep(_FAULT_S)
            yield _heard_after(plant, filling.unlink)
            wait_until(lambda: not _outbox_fails(latest(consumer, "health")), _PATIENCE_S, "a sound outbox")


def _outbox_fails(health: dict[str, list[dict[str, str]]] | None) -> bool:
    return health is not None and any(reason["where"] == "outbox" for reason in health["reasons"])


def _clock_step(folder: Path) -> Iterator[float]:
    clock = SteppedClock(folder)
    with Plant(folder) as plant:
        plant.daemon.environment = clock.environment
        _start(plant)
        for step_s in (3_600, -3_600, 86_400, 0, -86_400):
            yield _heard_after(plant, lambda step_s=step_s: clock.step_to(step_s), lambda: _alarm(plant))
            if not clock.is_stepped_by(step_s):
                raise RuntimeError("the clock does not step")


def _address_change(folder: Path) -> Iterator[float]:
    names = Names(folder, _NAME, "127.0.0.1")
    with Plant(folder) as plant:
        plant.daemon.under = names.under
        config, port = plant.folder / "agent.toml", plant.broker.port
        known = f'broker = "mqtt://127.0.0.1:{port}"\n'
        named = f'broker = "mqtt://{_NAME}:{port}"\nallow_plaintext = true\n'
        config.write_text(config.read_text().replace(known, named, 1))
        _start(plant)
        for turn in range(_ROUNDS):
            yield _outage(plant, plant.broker.kill, lambda turn=turn: _move(plant, names, f"127.0.0.{2 + turn}"))


def _move(plant: Plant, names: Names, address: str) -> None:
    plant.broker.move(address)
    plant.broker.start()
    names.move(address)


_FAULTS: tuple[tuple[str, str, int, Callable[[Path], Iterator[float]]], ...] = (
    ("link_cut", f"a cable that is cut for {_FAULT_S:.0f} s", 30, _link_cut),
    ("half_open", "a connection that dies without a word; what it takes to notice is part of it", 60, _half_open),
    ("blackhole", f"{_SWALLOWED_S:.0f} s of a network that accepts and swallows everything", 45, _swallowed),
    ("broker_restart", f"a broker that is killed and started {_FAULT_S:.0f} s later", 30, _broker_restart),
    (
        "unplug",
        f"a serial port that is gone for {_FAULT_S:.0f} s; with 20 s of samples that are read afterwards",
        15,
        _unplug,
    ),
    ("disk_full", f"a disk that is full for {_FAULT_S:.0f} s and longer", 30, _disk_full),
    ("clock_step", "the wall clock goes an hour or a day forth or back", 5, _clock_step),
    ("address_change", f"a broker that is killed and started elsewhere {_FAULT_S:.0f} s later", 30, _address_change),
)
