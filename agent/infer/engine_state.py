"""How far a machine's TensorRT engine is, as health tells it. Pure."""

from __future__ import annotations

from typing import Literal

import msgspec


class EngineState(msgspec.Struct, frozen=True, kw_only=True):
    """`percent` while it is built, if that is known; `why` where it was refused, or waits to be tried again."""

    state: Literal["none", "building", "ready", "refused"]
    percent: int | None = None
    why: str | None = None
