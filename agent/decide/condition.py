"""Is the machine deviating? On-delay, off-delay and hysteresis over a rate, with unknown windows counted as neither."""

from __future__ import annotations

from typing import Literal

import msgspec

Finding = Literal["deviating", "normal", "between"]


class Delays(msgspec.Struct, frozen=True, kw_only=True):
    """How long a finding must last, in event time, before it counts; `hop_ns` is the spacing of windows.

    With `count` m of n, only m deviating windows among the last n known ones are a deviation.
    """

    on_ns: int
    off_ns: int
    hop_ns: int
    count: tuple[int, int] = (1, 1)


class Condition(msgspec.Struct, kw_only=True):
    """Whether the machine deviates now, and since when the opposite has been seen.

    A pending change is kept through event time without a known window (unknown verdicts, lost windows) for as long as the delay that it
    waits for; after a longer gap, or when time runs backwards, it starts anew. So a delay of zero needs one window, and a
    delay of a minute is never met by two windows an hour apart.
    """

    deviating: bool = False
    changing_since_ns: int | None = None
    known_ns: int | None = None  # end of the last window whose finding was known
    recent: list[bool] = []  # whether the last windows deviated, the newest last

    def step(self, finding: Finding, end_ns: int, delays: Delays) -> bool:
        """Take in one known window that ended at `end_ns`; True where `deviating` has changed."""
        last_ns, self.known_ns = self.known_ns, end_ns
        if delays.count != (1, 1):
            finding = self._counted(finding, delays.count)
        if finding != ("normal" if self.deviating else "deviating"):
            self.changing_since_ns = None
            return False
        delay_ns = delays.off_ns if self.deviating else delays.on_ns
        since_ns = self.changing_since_ns
        if since_ns is None or last_ns is None or not last_ns <= end_ns <= last_ns + delays.hop_ns + delay_ns:
            since_ns = end_ns
        self.changing_since_ns = since_ns
        if end_ns - since_ns < delay_ns:
            return False
        self.deviating = not self.deviating
        self.changing_since_ns = None
        return True

    def _counted(self, finding: Finding, count: tuple[int, int]) -> Finding:
        least, windows = count
        self.recent = [*self.recent, finding == "deviating"][-windows:]
        if sum(self.recent) >= least:
            return "deviating"
        return "between" if finding == "deviating" else finding
