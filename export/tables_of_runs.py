"""A run in CSV or Parquet: one file, or several with a rate each; its rows chosen by number and by time, and labelled."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from agent.errors import ConfigError, Problem
from agent.types import NANOSECONDS, Int64Array
from export.dataset_schema import Dataset, PlacedRun, RunFile, TimeColumn
from export.labels import Classes
from export.moments import moment_ns
from export.rows import BoolArray, RawRows
from export.tables import numbers, read_table, times

_HOUR_NS = 3_600 * NANOSECONDS


def read(placed: PlacedRun, dataset: Dataset, classes: Classes) -> tuple[list[RawRows], str]:
    """The rows of each file of the run, and the run's name; raises ConfigError."""
    run, path = placed.run, placed.path
    if not dataset.source:
        every = tuple(range(len(dataset.channel)))
        rows = _rows(path, dataset, run, every, clock=_Clock(dataset.rate_hz, dataset.time, 0), classes=classes)
        first, last = run.rows or (0, 0)
        return [rows], f"{placed.name}[{first}:{last}]" if run.rows else placed.name
    found = []
    for source in dataset.source:
        channels = tuple(i for i, channel in enumerate(dataset.channel) if channel.source == source.name)
        clock = _Clock(source.rate_hz, source.time, 0 if source.start is None else moment_ns(source.start))
        found.append(_rows(path / source.file, dataset, run, channels, clock=clock, classes=classes))
    if run.label is not None and all(rows.labels is None for rows in found):
        what = f"no file in {path} has a column '{run.label}'"
        raise ConfigError([Problem(str(path), what, "mend [[run]] label")])
    return found, placed.name


class _Clock:
    """Where a file's times come from: a column, or the rate from a start on."""

    def __init__(self, rate_hz: float, rule: TimeColumn | None, start_ns: int) -> None:
        self.rate_hz, self.rule, self.start_ns = rate_hz, rule, start_ns

    def read(self, table: pa.Table, path: Path) -> tuple[Int64Array, BoolArray]:
        if self.rule is not None:
            return times(table, self.rule, path)
        t_ns = self.start_ns + np.arange(table.num_rows, dtype=np.int64) * round(NANOSECONDS / self.rate_hz)
        return t_ns, np.ones(table.num_rows, np.bool_)

    @property
    def max_step_ns(self) -> int:
        """How far a row's time may be from the one before and be believed at once."""
        if self.rule is not None and self.rule.max_step_s is not None:
            return round(self.rule.max_step_s * NANOSECONDS)
        return max(_HOUR_NS, round(10 * NANOSECONDS / self.rate_hz))


def _rows(
    path: Path, dataset: Dataset, run: RunFile, channels: tuple[int, ...], *, clock: _Clock, classes: Classes
) -> RawRows:
    chosen = [dataset.channel[index] for index in channels]
    label = run.label if run.label is not None and _has_label(path, run.label, dataset) else None
    wanted = [channel.source_column for channel in chosen]
    extra = [name for name in (clock.rule.column if clock.rule else None, label) if name is not None]
    table = read_table(path, [*wanted, *extra], dataset.separator)
    t_ns, timed = clock.read(table, path)
    asked = _asked(run, t_ns, path)
    kept = np.flatnonzero(asked & timed)
    table = table.take(pa.array(kept))
    found = [
        numbers(table[name], channel.states, f"{path}: column '{name}'")
        for name, channel in zip(wanted, chosen, strict=True)
    ]
    labels = None if run.anomaly_from_row is None else (kept >= run.anomaly_from_row).astype(np.int64)
    if label is not None:
        labels = classes.of_column(table[label], kept, f"{path}: column '{label}'")
    return RawRows(
        t_ns=t_ns[kept],
        raw=np.column_stack([column for column, _ in found]) if found else np.empty((len(kept), 0)),
        labels=labels,
        channels=channels,
        cells=tuple(cells for _, cells in found),
        rate_hz=clock.rate_hz,
        stamped=clock.rule is not None,
        untimed=int((asked & ~timed).sum()),
        max_step_ns=clock.max_step_ns,
        disorder_ns=0 if clock.rule is None else round(clock.rule.max_disorder_s * NANOSECONDS),
    )


def _has_label(path: Path, label: str, dataset: Dataset) -> bool:
    """Of a run's several files one has the labels; a single file must."""
    if not dataset.source:
        return True
    try:
        read_table(path, [label], dataset.separator)
    except ConfigError:
        return False
    return True


def _asked(run: RunFile, t_ns: Int64Array, path: Path) -> BoolArray:
    """Which rows the run takes of its file, bool [n]."""
    first, last = run.rows or (0, len(t_ns))
    if first >= len(t_ns):
        what = f"rows start at {first}, the file has {len(t_ns)}"
        raise ConfigError([Problem(str(path), what, "mend [[run]] rows")])
    rows = np.arange(len(t_ns))
    asked: BoolArray = (rows >= first) & (rows < last)
    if run.since is not None:
        asked &= t_ns >= moment_ns(run.since)
    if run.until is not None:
        asked &= t_ns < moment_ns(run.until)
    return asked
