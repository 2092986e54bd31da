"""Rows made clean by the daemon's own stages: its clock's judgement, its scaling, its watch over the sensors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from agent.decode.scaling import Scaling
from agent.decode.timebase import DeviceTime
from agent.sensors.watch import SensorWatch
from agent.types import NANOSECONDS, Batch, Float32Array, Int64Array, Quality, QualityArray, TimeQuality
from export.dataset_schema import Dataset
from export.rows import Cells, RawRows
from export.sensor_facts import facts

_BATCH = 1_024
_PAUSE_NS = 3_600 * NANOSECONDS


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """One device's samples as they would reach the window stage, in the order of arrival.

    t_ns int64 [n]; values float32 [n, columns] in the channels' units, NaN where missing; quality uint8 [n, columns]; labels int64 [n] or
    None. `channels` are the data set's that the columns belong to. `rows` came in; `empty` of them held no number at all, `untimed` no time,
    `disbelieved` a time that the next row did not confirm.
    """

    t_ns: Int64Array
    values: Float32Array
    quality: QualityArray
    labels: Int64Array | None
    channels: tuple[int, ...]
    cells: tuple[Cells, ...]
    rate_hz: float
    stamped: bool
    max_step_ns: int
    disorder_ns: int
    rows: int
    empty: int
    untimed: int
    disbelieved: int
    broken_frames: int = 0

    def __len__(self) -> int:
        """Samples."""
        return len(self.t_ns)


def clean(rows: RawRows, dataset: Dataset) -> Stream:
    """What the daemon would make of the same rows: those without a number or a believable time are dropped, what its sensor cannot mean is flagged."""
    filled = np.isfinite(rows.raw).any(axis=1)
    plausible = DeviceTime(rows.max_step_ns).plausible(rows.t_ns[filled])
    kept = np.flatnonzero(filled)[plausible]
    profile = facts(dataset, rows.channels, rows.rate_hz)
    values, quality = Scaling(profile.channel).apply(rows.raw[kept])
    watch, t_ns = SensorWatch(profile), rows.t_ns[kept]
    judged = [watch.inspect(batch).quality for batch in batches(_apart(t_ns, rows.piece_ns), values, quality)]
    return Stream(
        t_ns=t_ns,
        values=values,
        quality=np.concatenate(judged) if judged else quality,
        labels=None if rows.labels is None else rows.labels[kept],
        channels=rows.channels,
        cells=rows.cells,
        rate_hz=rows.rate_hz,
        stamped=rows.stamped,
        max_step_ns=rows.max_step_ns,
        disorder_ns=rows.disorder_ns,
        rows=len(rows) + rows.untimed,
        empty=len(rows) - int(filled.sum()),
        untimed=rows.untimed,
        disbelieved=int((~plausible).sum()),
    )


def _apart(t_ns: Int64Array, piece_ns: int | None) -> Int64Array:
    """Times with a long pause before each piece, in which a value may go anywhere."""
    return t_ns if piece_ns is None else t_ns + t_ns // piece_ns * _PAUSE_NS


def batches(t_ns: Int64Array, values: Float32Array, quality: QualityArray, device: str = "data") -> Iterator[Batch]:
    """The samples a thousand at a time, which changes nothing but the speed."""
    for start in range(0, len(t_ns), _BATCH):
        part = slice(start, start + _BATCH)
        yield Batch(device, t_ns[part], values[part], quality[part], TimeQuality.DEVICE)


def missing(values: Float32Array) -> QualityArray:
    """Flags of values of which nothing else is known."""
    return np.where(np.isnan(values), np.uint8(Quality.MISSING), np.uint8(Quality.GOOD))
