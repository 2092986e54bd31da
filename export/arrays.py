"""Pieces of recordings in a NumPy archive, arrays [pieces, time, channels]: snapshots of vibration, cycles of a machine."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from agent.errors import ConfigError, Problem
from agent.types import NANOSECONDS, Int64Array
from export.dataset_schema import Dataset, PlacedRun, Source
from export.labels import Classes
from export.rows import Cells, RawRows

Array = npt.NDArray[np.generic]


@dataclass(frozen=True, slots=True, eq=False)
class Pieces:
    """The rows of all pieces of one array, one after another, each `piece_ns` long; of several arrays that were sampled together, each one's."""

    name: str
    rows: list[RawRows]
    piece_ns: int


def read(placed: PlacedRun, dataset: Dataset, classes: Classes) -> list[Pieces]:
    """Every array that the run's `array` names, in the archive's order; with [[source]] the arrays of their `file`s, as one run.

    A channel's `column` is its index in the last axis. With `label`, the archive has an array of that name with one label a piece.
    Raises ConfigError.
    """
    run = placed.run
    held = _arrays(placed, dataset)
    words = None if run.label is None else held.pop(run.label, None)
    if run.label is not None and words is None:
        raise ConfigError([Problem(str(placed.path), f"there is no array '{run.label}'", f"it has {', '.join(held)}")])
    part = f"[{run.rows[0]}:{run.rows[1]}]" if run.rows else ""
    if dataset.source:
        rows = [
            _rows(
                placed, dataset, source.file, held[source.file], channels=_of(source, dataset), rate_hz=source.rate_hz
            )
            for source in dataset.source
        ]
        rows[0] = _labelled(rows[0], words, held[dataset.source[0].file], placed, classes)
        return [Pieces(f"{placed.name}{part}", rows, _common_length(placed, dataset, held))]
    every = range(len(dataset.channel))
    found = []
    for name, array in held.items():
        rows_of = _rows(placed, dataset, name, array, channels=every, rate_hz=dataset.rate_hz)
        length_ns = array.shape[1] * round(NANOSECONDS / dataset.rate_hz)
        found.append(
            Pieces(f"{placed.name}:{name}{part}", [_labelled(rows_of, words, array, placed, classes)], length_ns)
        )
    return found


def _arrays(placed: PlacedRun, dataset: Dataset) -> dict[str, Array]:
    """Those that are asked for, and the labels' one."""
    run, path = placed.run, placed.path
    wanted = [source.file for source in dataset.source] or [run.array]
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = [
                name
                for name in archive.files
                if name == run.label or any(fnmatch.fnmatchcase(name, each) for each in wanted)
            ]
            held = {name: archive[name] for name in names}
            known = ", ".join(archive.files[:20])
    except (OSError, ValueError) as error:
        raise ConfigError([Problem(str(path), f"cannot be read: {error}", "save it with numpy.savez")]) from error
    absent = [name for name in wanted if not any(fnmatch.fnmatchcase(each, name) for each in held)]
    if absent or not set(held) - {run.label}:
        raise ConfigError([Problem(str(path), f"no array is called {', '.join(absent or wanted)}", f"it has {known}")])
    return held


def _rows(
    placed: PlacedRun, dataset: Dataset, name: str, array: Array, *, channels: Sequence[int], rate_hz: float
) -> RawRows:
    where = f"{placed.path}: array '{name}'"
    if array.ndim != 3 or not np.issubdtype(array.dtype, np.number):
        what = f"is {array.dtype} {list(array.shape)}"
        raise ConfigError([Problem(where, what, "numbers [pieces, time, channels] are needed")])
    first, last = placed.run.rows or (0, len(array))
    chosen = array[first:last, :, _columns(dataset, channels, array.shape[2], where)].astype(np.float64)
    raw = chosen.reshape(-1, len(channels))
    cells = [Cells(blank=int(np.isnan(column).sum()), non_finite=int(np.isinf(column).sum())) for column in raw.T]
    return RawRows(
        t_ns=np.arange(len(raw), dtype=np.int64) * round(NANOSECONDS / rate_hz),
        raw=raw,
        labels=None,
        channels=tuple(channels),
        cells=tuple(cells),
        rate_hz=rate_hz,
        piece_ns=array.shape[1] * round(NANOSECONDS / rate_hz),
    )


def _of(source: Source, dataset: Dataset) -> list[int]:
    """The channels in this source, by index."""
    return [index for index, channel in enumerate(dataset.channel) if channel.source == source.name]


def _columns(dataset: Dataset, channels: Sequence[int], width: int, where: str) -> list[int]:
    columns = []
    for place, index in enumerate(channels):
        channel = dataset.channel[index]
        column = str(place) if channel.column is None else channel.column
        if not column.isdecimal() or int(column) >= width:
            what = f"has no column {column} for channel '{channel.name}'"
            raise ConfigError([Problem(where, what, f'columns are "0" to "{width - 1}"')])
        columns.append(int(column))
    return columns


def _labelled(rows: RawRows, words: Array | None, array: Array, placed: PlacedRun, classes: Classes) -> RawRows:
    """Each row with the label of its piece."""
    if words is None:
        return rows
    where = f"{placed.path}: array '{placed.run.label}'"
    if words.shape != (len(array),):
        remedy = f"it needs one label for each of {len(array)} pieces"
        raise ConfigError([Problem(where, f"has shape {list(words.shape)}", remedy)])
    first, last = placed.run.rows or (0, len(array))
    labels: Int64Array = np.array(
        [classes.label(str(word), f"{where}: piece {index}") for index, word in enumerate(words.tolist())], np.int64
    )
    return replace(rows, labels=np.repeat(labels[first:last], array.shape[1]))


def _common_length(placed: PlacedRun, dataset: Dataset, held: dict[str, Array]) -> int:
    """How long a piece is, in nanoseconds; raises ConfigError where the arrays do not belong together."""
    sizes: dict[str, tuple[int, int]] = {
        source.name: (held[source.file].shape[0], held[source.file].shape[1] * round(NANOSECONDS / source.rate_hz))
        for source in dataset.source
    }
    if len(set(sizes.values())) > 1:
        said = ", ".join(
            f"{name}: {pieces} pieces of {length / NANOSECONDS:g} s" for name, (pieces, length) in sizes.items()
        )
        raise ConfigError([Problem(str(placed.path), f"the arrays differ: {said}", "mend rate_hz of each [[source]]")])
    return min(length for _, length in sizes.values())
