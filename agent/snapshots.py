"""What outlives a restart is read back whole, or refused by its name."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from agent.errors import UNREADABLE

Memory = TypeVar("Memory")


def read_snapshot(snapshot: bytes, kind: type[Memory], what: str) -> Memory:
    """`snapshot`, which is JSON, as a `kind`; raises ValueError, which names `what` it is of, where it is damaged."""
    try:
        return msgspec.json.decode(snapshot, type=kind)
    except UNREADABLE as error:
        raise ValueError(f"{what} cannot be read: {error}") from error
