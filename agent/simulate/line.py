"""Faults of a link, put upon frames: flipped bits, inserted and deleted bytes, lost and repeated frames, silence."""

from __future__ import annotations

import numpy as np

from agent.simulate.schedule import Schedule

_SHARE = 0.1  # of the frames, that each fault hits while it lasts


class LinkFaults:
    """Applies the schedule's link faults to consecutive frames."""

    def __init__(self, schedule: Schedule, seed: int) -> None:
        self._schedule = schedule
        self._random = np.random.default_rng([seed, 2_000])

    def apply(self, frame: bytes, t_ns: int) -> bytes:
        """The bytes that reach the other end in the place of `frame`, sent `t_ns` after the start; none where it is lost."""
        chances = self._random.random(5)  # drawn for every frame, so that one fault does not move another
        active = self._schedule.active
        if active("silence", t_ns) or active("unplug", t_ns) or (active("loss", t_ns) and chances[0] < _SHARE):
            return b""
        if active("noise", t_ns) and chances[1] < _SHARE and frame:
            frame = _garbled(frame, *chances[2:])
        return frame * 2 if active("repeat", t_ns) and chances[0] < _SHARE else frame


def _garbled(frame: bytes, what: float, where: float, how: float) -> bytes:
    """One bit flipped, one byte inserted or one deleted."""
    position = int(where * len(frame))
    if what < 1 / 3:
        return frame[:position] + bytes([frame[position] ^ 1 << int(how * 8)]) + frame[position + 1 :]
    if what < 2 / 3:
        return frame[:position] + bytes([int(how * 256)]) + frame[position:]
    return frame[:position] + frame[position + 1 :]
