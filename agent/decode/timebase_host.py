"""The host's clock without its steps: one line for all devices of an agent, and what the wall clock calls a moment on it.

NTP may set the wall clock by hours while samples stream. Event times of devices without a UTC clock of their own lie on a line that never
steps: the monotonic clock, plus the wall clock's lead at the first chunk. Windows are cut on that line, so a step tears nothing; when
they are done they get their times in UTC, by the wall clock as it was set at their end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace

from agent.types import Batch, Chunk, Int64Array, TimeQuality, Window

# The two clocks are read one after the other, and another thread may run in between: a difference of less is no step.
_STEP_NS = 100_000_000
_CLOSE_NS = 1_000_000  # as good as the line itself
_REMEMBERED_STEPS = 64


class HostTime:
    """Follows the wall clock by the chunks; chunks without a monotonic time are taken as they are.

    `steps` counts how often the wall clock was found more than 0.1 s from where it had been; `lead_ns` is how far it is ahead of the line
    now, and smaller steps add up in it until they count.
    """

    def __init__(self) -> None:
        self.steps = 0
        self.lead_ns = 0
        self._offset_ns: int | None = None  # of the wall clock over the monotonic one, at the first chunk
        self._leads: deque[tuple[int, int]] = deque(
            maxlen=_REMEMBERED_STEPS
        )  # a moment on the line, and the lead before it

    def on_line(self, chunks: Sequence[Chunk]) -> Iterator[list[Chunk]]:
        """The chunks with `arrived_ns` on the line, parted where the wall clock stepped; `lead_ns` is each part's."""
        part: list[Chunk] = []
        for chunk in chunks:
            if chunk.monotonic_ns is None:
                part.append(chunk)
                continue
            if self._offset_ns is None:
                self._offset_ns = chunk.arrived_ns - chunk.monotonic_ns
            line_ns = chunk.monotonic_ns + self._offset_ns
            ahead_ns = chunk.arrived_ns - line_ns
            if not -_STEP_NS <= ahead_ns - self.lead_ns <= _STEP_NS:
                if part:
                    yield part
                    part = []
                self._leads.append((line_ns, self.lead_ns))
                self.lead_ns = ahead_ns
                self.steps += 1
            close = -_CLOSE_NS <= ahead_ns <= _CLOSE_NS
            part.append(chunk if close else replace(chunk, arrived_ns=line_ns))
        if part:
            yield part

    def line_batch(self, batch: Batch) -> Batch:
        """The batch with its times on the line."""
        utc = batch.time_quality is TimeQuality.DEVICE
        return _moved(batch, -self.lead_ns) if utc and self.lead_ns else batch

    def utc_batch(self, batch: Batch) -> Batch:
        """The batch with its times in UTC."""
        utc = batch.time_quality is TimeQuality.DEVICE
        return batch if utc or not self.lead_ns else _moved(batch, self.lead_ns)

    def utc_window(self, window: Window) -> Window:
        """A window on the line with its times in UTC, its length unchanged."""
        lead_ns = next((lead for at_ns, lead in self._leads if window.end_ns <= at_ns), self.lead_ns)
        if not lead_ns:
            return window
        return replace(window, start_ns=window.start_ns + lead_ns, end_ns=window.end_ns + lead_ns)


def _moved(batch: Batch, by_ns: int) -> Batch:
    t_ns: Int64Array = batch.t_ns + by_ns
    return replace(batch, t_ns=t_ns)
