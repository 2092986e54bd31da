"""Keeps a simulated device's time: each frame leaves when its samples have been taken, and the schedule pulls the plug."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from agent.clock import Clock
from agent.simulate.device import Device
from agent.simulate.outlets import Outlet
from agent.types import NANOSECONDS

# Frames leave up to this early, in bursts, as they do from a USB adapter: waiting costs more than sending.
_EARLY_NS = 5_000_000


@dataclass(slots=True)
class Totals:
    """What has been sent so far."""

    frames: int = 0
    bytes: int = 0
    elapsed_s: float = 0.0


def simulate(
    device: Device,
    outlet: Outlet,
    stop: threading.Event,
    clock: Clock,
    *,
    speed: float = 1.0,
    seconds: float | None = None,
    show: Callable[[Totals], None] = lambda _: None,
) -> Totals:
    """Send until `stop` is set, the data ends or `seconds` of the device's time are over; raises LinkError.

    `show` is called before the first frame and after each one.
    """
    totals, began_ns = Totals(), clock.monotonic_ns()
    outlet.plug()
    plugged = True
    show(totals)
    try:
        for offset_ns, parts in device.run(clock.now_ns()):
            if seconds is not None and offset_ns >= seconds * NANOSECONDS:
                break
            ahead_ns = began_ns + offset_ns / speed - clock.monotonic_ns()
            if (ahead_ns > _EARLY_NS and stop.wait(ahead_ns / NANOSECONDS)) or stop.is_set():
                break
            if plugged == device.schedule.active("unplug", offset_ns):
                (outlet.unplug if plugged else outlet.plug)()
                plugged = not plugged
            for topic, data in parts:
                outlet.send(topic, data)
                totals.frames += 1
                totals.bytes += len(data)
            totals.elapsed_s = offset_ns / NANOSECONDS
            show(totals)
    finally:
        if plugged:
            outlet.unplug()
    return totals
