"""Whether what a device sends is understood: for how long bytes have come of which no frame decodes."""

from __future__ import annotations

from collections.abc import Mapping

# A frame that gave no sample and was understood all the same.
_UNDERSTOOD = ("samples", "skipped", "repeated", "time_errors")


class DecodeProgress:
    """Watches one device's decoder by its counters."""

    def __init__(self) -> None:
        self._understood = 0
        self._since_ns: int | None = None  # of the first look at which bytes came and no frame had

    def look(self, now_ns: int, counters: Mapping[str, int], *, talks: bool) -> int:
        """Nanoseconds for which bytes have come and nothing was understood; zero where all is well or the device is silent.

        `counters` are a Decoder's, `talks` tells whether the device sent anything of late.
        """
        understood = sum(counters.get(name, 0) for name in _UNDERSTOOD)
        if understood != self._understood or not talks:
            self._understood, self._since_ns = understood, None
            return 0
        if self._since_ns is None:
            self._since_ns = now_ns
        return now_ns - self._since_ns
