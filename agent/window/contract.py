"""What a model was promised about its input: channels, units, rate and window, as the bundle's manifest states them."""

from __future__ import annotations

from typing import Literal

import msgspec

from agent.types import NANOSECONDS


class ContractChannel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One row of the model's input."""

    name: str
    unit: str  # UCUM


class Contract(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The grid that every window of this model lies on.

    A window holds `window` cells of 1/rate_hz seconds, and one is cut every `hop` cells. Samples that share a cell are
    combined by `aggregate`. An empty cell takes the channel's last value for at most `hold_cells` cells in a row; longer gaps are
    missing and make the window unknown.
    """

    channels: list[ContractChannel]
    rate_hz: float
    window: int
    hop: int
    hold_cells: int = 0
    aggregate: Literal["mean", "last"] = "mean"

    @property
    def period_ns(self) -> int:
        """Length of a cell."""
        return round(NANOSECONDS / self.rate_hz)

    @property
    def names(self) -> list[str]:
        """Channel names in model order."""
        return [channel.name for channel in self.channels]
