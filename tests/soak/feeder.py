"""The fifty devices, in a process of their own: they send, are unplugged, fall silent and fail as the plan says, and tell when that was.

`python -m tests.soak.feeder FOLDER SECONDS SEED SITE_PORT BUS_PORT...`; begins at a line on standard input, ends with a report on standard output.
"""

from __future__ import annotations

import contextlib
import json
import struct
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from agent.decode.encode import Encoder
from agent.decode.profile import parse_profile
from agent.simulate.outlets import PtyPort
from tests.harness.modbus_slaves import Slaves
from tests.soak import fleet
from tests.soak.fleet import FAULT, NODES, NORMAL, RATE_HZ, SPEED, Node
from tests.soak.plan import Event, Kind, plan

_TICK_S = 0.05
_STEP_NS = round(1e9 / RATE_HZ)
_NOISE_BYTES = 40
_REGISTER = 100
_SLAVE_SEED = 3


class Feed(Protocol):
    """A device: told at every tick how long the run has lasted and what befalls it."""

    def tick(self, elapsed_s: float, befalls: set[Kind]) -> None: ...


class Stamped:
    """A device that stamps its samples and sends them through `send`; `now_ns` is the time of its latest."""

    def __init__(self, node: Node, folder: Path, start_ns: int, send: Wire | Topic) -> None:
        self.now_ns = start_ns
        self._start_ns = start_ns
        profile = folder / "firmware_configs" / f"{node.profile}.toml"
        self._encoder = Encoder(parse_profile(profile.read_text(), profile.name))
        self._random = np.random.default_rng([node.number, *node.profile.encode()])
        self._send = send

    def tick(self, elapsed_s: float, befalls: set[Kind]) -> None:
        self._send.plug(unplugged=Kind.UNPLUGGED in befalls)
        due = round(elapsed_s * RATE_HZ * SPEED) - (self.now_ns - self._start_ns) // _STEP_NS
        values = self._random.standard_normal((max(0, due), 2))
        values[:, 0] *= FAULT if Kind.MACHINE in befalls else NORMAL
        frames = []
        for row in values.tolist():
            self.now_ns += _STEP_NS
            frames.append(self._encoder.frame(row, self.now_ns))
        if befalls & {Kind.SILENT, Kind.UNPLUGGED}:
            return
        if Kind.NOISE in befalls:
            frames.append(self._random.integers(0, 256, _NOISE_BYTES, np.uint8).tobytes())
        self._send(frames)


class Wire:
    """A serial line: what nobody reads is lost."""

    def __init__(self, path: Path) -> None:
        self._port = PtyPort(path, lambda _: b"")
        self._port.plug()
        self._plugged = True

    def plug(self, *, unplugged: bool) -> None:
        if unplugged == self._plugged:
            (self._port.unplug if unplugged else self._port.plug)()
            self._plugged = not unplugged

    def __call__(self, frames: Sequence[bytes]) -> None:
        if frames:
            self._port.send("", b"".join(frames))


class Topic:
    """A topic of the devices' broker: what it does not take is lost."""

    def __init__(self, client: mqtt.Client, topic: str) -> None:
        self._client, self._topic = client, topic

    def plug(self, *, unplugged: bool) -> None:
        assert not unplugged, "a device on a broker has no plug"

    def __call__(self, frames: Sequence[bytes]) -> None:
        for frame in frames:
            self._client.publish(self._topic, frame)


class Slave:
    """A Modbus slave, whose register the bus asks for."""

    def __init__(self, node: Node, slaves: Slaves) -> None:
        self._unit, self._slaves = node.unit, slaves
        self._random = np.random.default_rng([_SLAVE_SEED, node.number])

    def tick(self, elapsed_s: float, befalls: set[Kind]) -> None:
        level = FAULT if Kind.MACHINE in befalls else NORMAL
        value = struct.pack(">f", level * self._random.standard_normal())
        self._slaves.registers[self._unit][_REGISTER : _REGISTER + 2] = struct.unpack(">HH", value)
        self._slaves.asked[self._unit].clear()
        (self._slaves.dead.add if Kind.SILENT in befalls else self._slaves.dead.discard)(self._unit)


class Bus:
    """What slaves hang on: it hangs up on its master, and comes back."""

    def __init__(self, slaves: Slaves, port: int) -> None:
        self._slaves, self._port, self._up = slaves, port, True
        slaves.listen_tcp(port)

    def tick(self, elapsed_s: float, befalls: set[Kind]) -> None:
        if self._up == (Kind.UNPLUGGED in befalls):
            self._up = not self._up
            if self._up:
                self._slaves.listen_tcp(self._port)
            else:
                self._slaves.hang_up()


def main(folder: Path, seconds: float, seed: int, site_port: int, bus_ports: Sequence[int]) -> None:
    with contextlib.ExitStack() as exits:
        feeds = _feeds(folder, site_port, bus_ports, exits)
        schedule = plan(seconds, seed, fleet.subjects())
        print("ready", flush=True)
        begun_s = float(sys.stdin.readline())
        told = _run(feeds, schedule.subjects, begun_s, seconds)
    print(json.dumps(told), flush=True)


def _feeds(folder: Path, site_port: int, bus_ports: Sequence[int], exits: contextlib.ExitStack) -> dict[str, Feed]:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.reconnect_delay_set(1, 1)
    client.connect("127.0.0.1", site_port)
    client.loop_start()
    exits.callback(client.loop_stop)
    units = range(1, 1 + len(NODES))
    slaves = [exits.enter_context(Slaves({unit: [] for unit in units})) for _ in bus_ports]
    feeds: dict[str, Feed] = {f"bus-{i}": Bus(slaves[i], port) for i, port in enumerate(bus_ports)}
    start_ns = time.time_ns() // _STEP_NS * _STEP_NS
    for node in NODES:
        if not node.stamped:
            feeds[node.name] = Slave(node, slaves[node.number % len(slaves)])
        else:
            send = Wire(folder / f"tty-{node.name}") if node.serial else Topic(client, node.topic)
            feeds[node.name] = Stamped(node, folder, start_ns, send)
    return feeds


def _run(
    feeds: Mapping[str, Feed], befalls: Mapping[str, Sequence[Event]], begun_s: float, seconds: float
) -> dict[str, list[dict[str, object]]]:
    """Until the time is over; what befell each device, by the run's clock and, for machine faults, in event time."""
    lots = {name: Lot(befalls[name]) for name in feeds}
    tick = 0
    while (elapsed_s := time.monotonic() - begun_s) < seconds:
        for name, feed in feeds.items():
            before_ns = _now_ns(feed)
            feed.tick(elapsed_s, lots[name].turn(elapsed_s, before_ns))
        tick += 1
        time.sleep(max(0.0, begun_s + tick * _TICK_S - time.monotonic()))
    return {name: lot.told for name, lot in lots.items()}


class Lot:
    """What befalls one device as time goes by; `told` is what was over already, with when it really was."""

    def __init__(self, events: Sequence[Event]) -> None:
        self.told: list[dict[str, object]] = []
        self._coming = deque(events)
        self._now: dict[Event, dict[str, object]] = {}

    def turn(self, elapsed_s: float, event_ns: int) -> set[Kind]:
        """What befalls it from now on; `event_ns` is its event time so far."""
        for event in [event for event in self._now if event.end_s <= elapsed_s]:
            self.told.append({**self._now.pop(event), "end_s": elapsed_s, "last_ns": event_ns})
        while self._coming and self._coming[0].start_s <= elapsed_s:
            event = self._coming.popleft()
            self._now[event] = {"kind": event.kind, "start_s": elapsed_s, "first_ns": event_ns}
        return {event.kind for event in self._now}


def _now_ns(feed: Feed) -> int:
    return feed.now_ns if isinstance(feed, Stamped) else time.time_ns()


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), [int(a) for a in sys.argv[5:]])
