"""CSV and Parquet files column by column: cells to numbers as the daemon reads them, with what is no number counted, not guessed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from agent.decode.records import MAX_NS, stamp_ns
from agent.decode.states import number
from agent.errors import ConfigError, Problem
from agent.types import NANOSECONDS, Int64Array
from export.dataset_schema import TimeColumn
from export.rows import BoolArray, Cells, Float64Array

_PER_UNIT_NS = {"s": NANOSECONDS, "ms": 1_000_000, "us": 1_000, "ns": 1}
_NUMBER = r"^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$"
_BLANK = frozenset({"", "nan", "null", "na", "n/a", "none"})
_WHOLE = r"^[-+]?\d{1,18}$"


def read_table(path: Path, wanted: Sequence[str], separator: str) -> pa.Table:
    """The wanted columns; those of a CSV as text, so that a stray word costs one cell and not the column. Raises ConfigError."""
    try:
        if path.suffix == ".parquet":
            table = pq.read_table(path)
        else:
            options = pa_csv.ConvertOptions(column_types=dict.fromkeys(wanted, pa.string()), strings_can_be_null=False)
            table = pa_csv.read_csv(
                path, parse_options=pa_csv.ParseOptions(delimiter=separator), convert_options=options
            )
    except (pa.ArrowException, OSError) as error:
        remedy = "check the file and the separator"
        raise ConfigError([Problem(str(path), f"cannot be read: {error}", remedy)]) from error
    if missing := [name for name in wanted if name not in table.column_names]:
        known = ", ".join(table.column_names[:20])
        raise ConfigError([Problem(str(path), f"there is no column {', '.join(missing)}", f"it has {known}")])
    return table.select(list(dict.fromkeys(wanted)))


def numbers(column: pa.ChunkedArray, states: Mapping[str, float], where: str) -> tuple[Float64Array, Cells]:
    """Cells as float64 with NaN for whatever is no number; raises ConfigError for a column that holds text alone."""
    if not pa.types.is_string(column.type) and not pa.types.is_large_string(column.type):
        return _typed(column, where)
    cells = pc.utf8_trim_whitespace(column.fill_null(""))
    plain = pc.match_substring_regex(cells, _NUMBER)
    found = np.array(pc.if_else(plain, cells, None).cast(pa.float64()).to_numpy(zero_copy_only=False))
    counted = Cells(non_finite=int(np.isinf(found).sum()))
    odd = np.flatnonzero(~np.asarray(plain.to_numpy(zero_copy_only=False), np.bool_))
    if len(odd):
        words, place, counts = np.unique(
            cells.take(pa.array(odd)).to_numpy(zero_copy_only=False).astype(str),
            return_inverse=True,
            return_counts=True,
        )
        found[odd] = np.array(
            [_judge(word, times, states, counted) for word, times in zip(words.tolist(), counts.tolist(), strict=True)]
        )[place]
    if len(column) and counted.text.total() == len(column):
        sample = cells[0].as_py()
        raise ConfigError([Problem(where, f"holds no number, for example {sample!r}", "numbers need a decimal point")])
    return found, counted


def _typed(column: pa.ChunkedArray, where: str) -> tuple[Float64Array, Cells]:
    """A Parquet column with a type of its own."""
    try:
        found = np.array(column.cast(pa.float64()).to_numpy(zero_copy_only=False))
    except pa.ArrowException as error:
        raise ConfigError([Problem(where, f"holds {column.type}, no numbers", "name another column")]) from error
    return found, Cells(blank=int(np.isnan(found).sum()), non_finite=int(np.isinf(found).sum()))


def _judge(word: str, times: int, states: Mapping[str, float], counted: Cells) -> float:
    """A word's number as the daemon's decoder would have it; NaN, and counted, where it has none."""
    value = states[word] if word in states else number(word)
    if np.isfinite(value):
        return value
    if np.isinf(value):
        counted.non_finite += times
    elif word.lower() in _BLANK:
        counted.blank += times
    else:
        counted.text[word] += times
    return float("nan")


def times(table: pa.Table, rule: TimeColumn, path: Path) -> tuple[Int64Array, BoolArray]:
    """Event time of each row int64 [n] in nanoseconds, and whether it has one bool [n]; raises ConfigError where no row has one."""
    column, where = table[rule.column], f"{path}: column '{rule.column}'"
    if pa.types.is_timestamp(column.type):
        known = np.asarray(column.is_valid().to_numpy(zero_copy_only=False), np.bool_)
        t_ns = column.cast(pa.timestamp("ns", column.type.tz)).cast(pa.int64()).fill_null(0)
        found: Int64Array = np.array(t_ns.to_numpy(zero_copy_only=False))
    elif rule.format == "text":
        found, known = _each(column, lambda cell: stamp_ns(cell, "rfc3339"))
    else:
        found, known = _counted(column, _PER_UNIT_NS[rule.format])
    if len(known) and not known.any():
        remedy = "write '2026-01-31T12:00:00Z' or '2026-01-31 12:00:00', or set [time] format"
        raise ConfigError([Problem(where, f"'{column[0].as_py()}' is no time", remedy)])
    return found, known


def _counted(column: pa.ChunkedArray, per_unit_ns: int) -> tuple[Int64Array, BoolArray]:
    """Times as numbers. Whole ones are scaled as such: float64 cannot hold the nanoseconds of today."""
    if pa.types.is_string(column.type):
        column = pc.utf8_trim_whitespace(column.fill_null(""))
        if not pc.all(pc.match_substring_regex(column, _WHOLE)).as_py():
            return _each(column, lambda cell: _exact(str(cell), per_unit_ns))
    elif not pa.types.is_integer(column.type):
        return _each(column, lambda cell: _exact(repr(cell), per_unit_ns))
    known = np.asarray(column.is_valid().to_numpy(zero_copy_only=False), np.bool_)
    whole: Int64Array = np.array(column.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False))
    known = known & (np.abs(whole) < MAX_NS // per_unit_ns)
    return np.where(known, whole, 0) * per_unit_ns, known


def _exact(text: str, per_unit_ns: int) -> int | None:
    """Decimals as they are written: as a float, 1700000000.3 s would lie just before the cell that it begins."""
    try:
        t_ns = Decimal(text) * per_unit_ns
    except InvalidOperation:
        return None
    return round(t_ns) if t_ns.is_finite() and abs(t_ns) < MAX_NS else None


def _each(column: pa.ChunkedArray, read: Callable[[object], int | None]) -> tuple[Int64Array, BoolArray]:
    stamps = [read(cell) for cell in column.to_pylist()]
    known = np.array([stamp is not None for stamp in stamps], np.bool_)
    return np.array([stamp or 0 for stamp in stamps], np.int64), known
