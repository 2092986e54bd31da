"""A data set read: every recording as one run of times, values and labels, cleaned as the daemon would, with a report of what was done."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from agent.errors import ConfigError, Problem
from agent.types import Float32Array, Int64Array, QualityArray
from export import arrays, recordings, tables_of_runs
from export.cleaning import Stream, clean, missing
from export.data_report import DataReport, RunReport, describe
from export.dataset_schema import DatasetFile, PlacedRun, Role
from export.labels import Classes, of_intervals, read_intervals
from export.rows import BoolArray

__all__ = ["BoolArray", "Recordings", "Run", "read"]


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """One recording: t_ns int64 [n] in the order of arrival, values float32 [n, channels] (NaN where missing), labels int64 [n] or None.

    A label is 0 for normal operation and k for the k-th kind of fault. `quality` uint8 [n, channels] holds the flags of `agent.types.Quality`,
    None where a value is either good or NaN. Where several devices or files make one run, their rows take turns: `device` uint8 [n] says whose
    each row is, `feeds` which channels each has, `disorder_ns` how far each one's rows may lie behind its newest. With `piece_ns` the run is
    made of pieces of that length, and no window reaches from one into the next.
    """

    name: str
    role: Role
    t_ns: Int64Array
    values: Float32Array
    labels: Int64Array | None
    quality: QualityArray | None = None
    device: QualityArray | None = None
    feeds: tuple[tuple[int, ...], ...] = ()
    disorder_ns: tuple[int, ...] = (0,)
    piece_ns: int | None = None

    def __post_init__(self) -> None:
        """One device has all channels, unless it is said otherwise."""
        if not self.feeds:
            object.__setattr__(self, "feeds", (tuple(range(self.values.shape[1])),))

    @property
    def flags(self) -> QualityArray:
        """What is wrong with each value, uint8 [n, channels]."""
        return missing(self.values) if self.quality is None else self.quality

    @property
    def anomalous(self) -> BoolArray | None:
        """Whether each row is at fault, bool [n], or None."""
        return None if self.labels is None else self.labels != 0


@dataclass(frozen=True, slots=True, eq=False)
class Recordings:
    """All runs of a data set, the SHA-256 over its files, what was done to them, and the names of the kinds of fault (label 1 first)."""

    runs: list[Run]
    sha256: str
    report: DataReport
    kinds: tuple[str, ...] = ("fault",)

    def of(self, *roles: Role) -> list[Run]:
        """The runs of these roles, in the file's order."""
        return [run for run in self.runs if run.role in roles]


def read(source: DatasetFile) -> Recordings:
    """Read every run; raises ConfigError that names the file and column at fault."""
    digest = hashlib.sha256()
    runs, reports = list[Run](), list[RunReport]()
    for placed in source.runs:
        for path in _files(placed, source):
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        for run, streams in _read(placed, source):
            runs.append(run)
            reports.append(describe(run.name, run.role, streams, run.labels, source.dataset))
    report = DataReport.of(source.dataset, digest.hexdigest(), reports)
    return Recordings(runs, digest.hexdigest(), report, source.dataset.kinds)


def _files(placed: PlacedRun, source: DatasetFile) -> list[Path]:
    """Every file that the run is read from."""
    if source.dataset.source and placed.path.is_dir():
        return [placed.path / each.file for each in source.dataset.source]
    files = sorted(placed.path.glob("*.strec")) if placed.path.is_dir() else [placed.path]
    intervals = placed.run.intervals
    return files if intervals is None else [*files, source.path_of_toml.parent / intervals]


def _read(placed: PlacedRun, source: DatasetFile) -> list[tuple[Run, list[Stream]]]:
    """The runs in one file or folder, each with the streams that it was made of."""
    classes = Classes(source.dataset)
    found: list[tuple[str, list[Stream], int | None]]
    if source.dataset.device:
        found = [(name, streams, None) for name, streams in recordings.read(placed, source)]
    elif placed.path.suffix == ".npz":
        found = [
            (piece.name, [clean(rows, source.dataset) for rows in piece.rows], piece.piece_ns)
            for piece in arrays.read(placed, source.dataset, classes)
        ]
    else:
        rows, name = tables_of_runs.read(placed, source.dataset, classes)
        found = [(name, [clean(each, source.dataset) for each in rows], None)]
    runs = []
    for name, streams, piece_ns in found:
        if not any(len(stream) for stream in streams):
            raise ConfigError(
                [Problem(str(placed.path), f"{name} has no row to use", "mend [[run]] rows, from and to")]
            )
        run = _joined(name, placed.run.role, streams, len(source.dataset.channel), piece_ns)
        runs.append((_labelled(run, placed, source, classes), streams))
    return runs


def _joined(name: str, role: Role, streams: Sequence[Stream], channels: int, piece_ns: int | None) -> Run:
    """One run of all streams: a row is taken when its stream's newest time comes round, so that each keeps its own order."""
    come_ns = np.concatenate([np.maximum.accumulate(stream.t_ns) for stream in streams])
    order = np.argsort(come_ns, kind="stable")
    device = np.repeat(np.arange(len(streams), dtype=np.uint8), [len(stream) for stream in streams])
    values = np.full((len(order), channels), np.nan, np.float32)
    quality = missing(values)
    for index, stream in enumerate(streams):
        block = np.ix_(device == index, stream.channels)
        values[block], quality[block] = stream.values, stream.quality
    return Run(
        name=name,
        role=role,
        t_ns=np.concatenate([stream.t_ns for stream in streams])[order],
        values=values[order],
        labels=_held_labels(streams, device, order),
        quality=quality[order],
        device=None if len(streams) == 1 else device[order],
        feeds=tuple(stream.channels for stream in streams),
        disorder_ns=tuple(stream.disorder_ns for stream in streams),
        piece_ns=piece_ns,
    )


def _held_labels(streams: Sequence[Stream], device: QualityArray, order: Int64Array) -> Int64Array | None:
    """The labels of the stream that has some; the rows of the others bear its latest one, or its first."""
    labelled = [index for index, stream in enumerate(streams) if stream.labels is not None]
    if not labelled:
        return None
    labels = streams[labelled[0]].labels
    assert labels is not None
    mine = np.cumsum(device[order] == labelled[0]) - 1
    held: Int64Array = labels[np.maximum(mine, 0)]
    return held


def _labelled(run: Run, placed: PlacedRun, source: DatasetFile, classes: Classes) -> Run:
    """The run with the labels that its folder, its class or its intervals give it."""
    asked, where = placed.run, str(placed.path)
    labels = run.labels
    if asked.class_by_folder or asked.fault is not None:
        word = asked.fault if asked.fault is not None else placed.path.parent.name
        labels = np.full(len(run.t_ns), classes.label(word, where), np.int64)
    elif asked.intervals is not None:
        path = source.path_of_toml.parent / asked.intervals
        labels = of_intervals(run.t_ns, read_intervals(path, placed.path, classes))
    return run if labels is run.labels else replace(run, labels=labels)
