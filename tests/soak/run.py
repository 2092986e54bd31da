"""One soak: puts the plant together, lets the plan happen to it, heals it, and gathers what is left to judge."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.harness.broker import Broker, free_port
from tests.harness.clock_step import ClockStep
from tests.harness.daemon import Daemon
from tests.harness.small_disk import small_disk
from tests.harness.threads import at_work
from tests.soak import fleet
from tests.soak.audit import Audit
from tests.soak.consumer import Consumer
from tests.soak.fleet import NODES
from tests.soak.ledger import Fault, Outage, Received
from tests.soak.plan import Event, Kind, Plan, plan
from tests.soak.watch import Reading, Watch
from tests.soak.way import State, Way

DISK_MIB = 48
DRAIN_S = 60.0
_LOOK_S = 0.25
_ASK_EVERY_S = 3.0
_READY_S = 30.0
_REPORT_S = 30.0
_LAST_WORDS_S = 1.0
_WAYS = {Kind.CUT: State.CUT, Kind.BLACK_HOLE: State.BLACK_HOLE, Kind.SLOW: State.SLOW}
# The consumer's session must outlive the broker, and nothing that the broker took may wait in it while it is killed.
_UPSTREAM = [
    "persistence true",
    "autosave_interval 1",
    "max_inflight_messages 0",
    "max_queued_messages 100000",
    "log_type error",
]


@dataclass
class Outcome:
    """All that a run leaves behind."""

    plan: Plan
    received: Received
    audit: Audit
    faults: list[Fault]
    outages: list[Outage]
    left_out: Mapping[Kind, str]  # what could not be made to happen here, and why
    happened: Counter[str]
    readings: list[Reading]
    asked: int
    answered: Counter[str]
    exits: list[int]
    drained: bool
    state_bytes: int  # the most that the state folder took
    starts_s: list[float]


def soak(folder: Path, minutes: float, seed: int) -> Outcome:
    """Run for so long, and a minute at most for what then waits."""
    schedule = plan(60 * minutes, seed, fleet.subjects())
    with contextlib.ExitStack() as exits:
        left_out = {}
        try:
            exits.enter_context(small_disk(folder / fleet.DISK, DISK_MIB))
        except pytest.skip.Exception as skipped:
            left_out[Kind.DISK_FULL] = str(skipped)
        site = exits.enter_context(Broker(folder, ["max_queued_messages 10000", "log_type error"]))
        upstream = exits.enter_context(Broker(folder, _UPSTREAM))
        way = exits.enter_context(Way(upstream.port))
        clock = ClockStep(folder)
        buses = [free_port() for _ in range(fleet.BUSES)]
        config = fleet.write(folder, site.url, f"mqtt://127.0.0.1:{way.port}", buses)
        daemon = Daemon(config, _READY_S, environment=clock.environment)
        consumer = exits.enter_context(Consumer(upstream.port))
        feeder = exits.enter_context(_feeder(folder, schedule.seconds, seed, site.port, buses))
        exits.callback(daemon.kill)
        daemon.start()
        begun_s = time.monotonic()
        assert feeder.stdin is not None
        feeder.stdin.write(f"{begun_s}\n")
        feeder.stdin.flush()
        box = Box(daemon, site, upstream, way, clock, folder / fleet.DISK, begun_s)
        audit = Audit(folder / fleet.DISK / "state")
        watch = Watch(lambda: daemon.pid if daemon.running else None, begun_s)
        with at_work(audit.run, watch.run, ends_within_s=30):
            _happen([event for event in schedule.host if event.kind not in left_out], box, consumer)
            told = json.loads(feeder.communicate(timeout=schedule.seconds - box.elapsed_s + _REPORT_S)[0])
            drained = _drained(consumer, DRAIN_S)
            box.exits.append(daemon.terminate())
            time.sleep(_LAST_WORDS_S)
        audit.finish()
        faults, outages = _of_devices(told)
        return Outcome(
            plan=schedule,
            received=consumer.received,
            audit=audit,
            faults=faults,
            outages=outages + box.outages,
            left_out=left_out,
            happened=box.happened + Counter(entry["kind"] for entries in told.values() for entry in entries),
            readings=watch.readings,
            asked=consumer.asked.total(),
            answered=consumer.answered,
            exits=box.exits,
            drained=drained,
            state_bytes=box.most_state_bytes,
            starts_s=box.starts_s,
        )


class Box:
    """Everything but the devices, and how each thing goes wrong with it."""

    def __init__(
        self, daemon: Daemon, site: Broker, upstream: Broker, way: Way, clock: ClockStep, disk: Path, begun_s: float
    ) -> None:
        self.daemon, self.site, self.upstream, self.way, self.clock = daemon, site, upstream, way, clock
        self.outages: list[Outage] = []
        self.happened: Counter[str] = Counter()
        self.exits: list[int] = []
        self.starts_s: list[float] = []
        self.most_state_bytes = 0
        self._state = disk / "state"
        self._filler = disk / "filler"
        self._begun_s = begun_s
        self._since_s: dict[Event, float] = {}

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._begun_s

    def begin(self, event: Event) -> None:
        """Let it happen."""
        self.happened[event.kind] += 1
        self._since_s[event] = self.elapsed_s
        match event.kind:
            case Kind.BROKER_KILLED:
                self.upstream.kill()
            case Kind.HALF_OPEN:
                self.way.leave_half_open()
            case Kind.CUT | Kind.BLACK_HOLE | Kind.SLOW:
                self.way.become(_WAYS[event.kind])
            case Kind.SIGKILL:
                self.daemon.kill()
            case Kind.SIGTERM:
                self.exits.append(self.daemon.terminate())
            case Kind.DISK_FULL:
                self._fill()
            case Kind.CLOCK_STEP:
                self.clock.set_off(event.size_s)
            case Kind.SITE_BROKER_KILLED:
                self.site.kill()
            case _:
                raise ValueError(f"{event.kind} befalls devices")

    def end(self, event: Event) -> None:
        """Make it whole again."""
        match event.kind:
            case Kind.BROKER_KILLED:
                self.upstream.start()
            case Kind.CUT | Kind.BLACK_HOLE | Kind.SLOW:
                self.way.become(State.OPEN)
            case Kind.SIGKILL | Kind.SIGTERM:
                self.daemon.start()
                self.starts_s.append(self.daemon.ready_after_s)
                self._was_blind(event, None)
            case Kind.DISK_FULL:
                self._filler.unlink()
            case Kind.CLOCK_STEP:
                self.clock.set_off(0)
            case Kind.SITE_BROKER_KILLED:
                self.site.start()
                for node in NODES:
                    if node.stamped and not node.serial:
                        self._was_blind(event, node.machine)

    def look(self) -> None:
        """How much the daemon's own files take."""
        with contextlib.suppress(FileNotFoundError):
            used = sum(path.stat().st_size for path in self._state.iterdir())
            self.most_state_bytes = max(self.most_state_bytes, used)

    def _was_blind(self, event: Event, machine: str | None) -> None:
        self.outages.append(Outage(self._since_s[event], self.elapsed_s, machine))

    def _fill(self) -> None:
        with contextlib.suppress(OSError), self._filler.open("wb", buffering=0) as filler:
            while filler.write(bytes(65_536)):
                pass


def _happen(events: Sequence[Event], box: Box, consumer: Consumer) -> None:
    """The whole plan, in its order; what takes longer than it may makes what follows late."""
    steps = sorted(
        [(event.start_s, 0, event) for event in events] + [(event.end_s, 1, event) for event in events],
        key=lambda step: step[:2],
    )
    ask_at_s = 0.0
    for at_s, over, event in steps:
        while (left_s := at_s - box.elapsed_s) > 0:
            time.sleep(min(_LOOK_S, left_s))
            box.look()
            if box.elapsed_s >= ask_at_s:
                consumer.ask()
                ask_at_s = box.elapsed_s + _ASK_EVERY_S
        print(f"{box.elapsed_s:7.1f} s  {event.kind}{' is over' if over else ''}", file=sys.stderr, flush=True)
        (box.end if over else box.begin)(event)


@contextlib.contextmanager
def _feeder(
    folder: Path, seconds: float, seed: int, site_port: int, buses: Sequence[int]
) -> Iterator[subprocess.Popen[str]]:
    """The devices' process, which has made its ports and waits for the moment of the start."""
    arguments = [str(folder), str(seconds), str(seed), str(site_port), *map(str, buses)]
    command = [sys.executable, "-m", "tests.soak.feeder", *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", "the devices did not come up"
        try:
            yield process
        finally:
            process.kill()


def _drained(consumer: Consumer, timeout_s: float) -> bool:
    """Whether the agent comes to say that nothing of it waits any more."""
    deadline_s, since = time.monotonic() + timeout_s, None
    while time.monotonic() < deadline_s:
        with consumer.lock:
            newest = list(consumer.received.health.values())[-1]
            since = since or newest["seq"]
            flow = newest["flow"]
            if newest["seq"] > since and flow["outbox"]["held"] == flow["buffer"]["held"] == 0:
                return True
        time.sleep(_LOOK_S)
    return False


def _of_devices(told: dict[str, list[dict[str, Any]]]) -> tuple[list[Fault], list[Outage]]:
    """What really befell the devices: their machines' faults, and when they could not be heard or not be understood."""
    faults, outages = [], []
    for node in NODES:
        for entry in told[node.name]:
            if entry["kind"] == Kind.MACHINE:
                fault = Fault(node.machine, entry["start_s"], entry["end_s"], entry["first_ns"], entry["last_ns"])
                faults.append(fault)
            else:
                outages.append(Outage(entry["start_s"], entry["end_s"], node.machine))
        if not node.stamped:
            outages += [Outage(entry["start_s"], entry["end_s"], node.machine) for entry in told[node.bus]]
    return faults, outages
