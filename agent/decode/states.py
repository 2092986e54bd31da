"""Words that stand for numbers: ON, closed, true; each channel reads its cells by its own table of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from agent.decode.schema import Channel

Reader = Callable[[Any], float]


def cell_reader(channel: Channel) -> Reader:
    """A function from a cell (number, text, truth value or None) to its raw number; NaN where it is none."""
    return _with_states(channel.states) if channel.states else number


def number(cell: Any) -> float:
    """A cell as a number: true is 1, text may hold one; NaN where it is none."""
    try:
        return float(cell)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def word(channel: Channel, raw: float) -> float | bool | str:
    """What a device says for a raw number: the word for it where the channel has one."""
    for state, value in channel.states.items():
        if value == raw:
            return {"true": True, "false": False}.get(state, state)
    return raw


def _with_states(states: Mapping[str, float]) -> Reader:
    def read(cell: Any) -> float:
        text = ("true" if cell else "false") if isinstance(cell, bool) else cell
        if isinstance(text, bytes):
            text = text.decode(errors="replace")
        if isinstance(text, str) and text in states:
            return states[text]
        return number(cell)

    return read
