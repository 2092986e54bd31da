"""Recordings, CSV or Parquet, read into runs of times, values and labels; what is no number is counted, not guessed."""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from agent.errors import ConfigError, Problem
from agent.types import NANOSECONDS, Float32Array, Int64Array
from export.dataset import Dataset, DatasetFile, Role, RunFile

BoolArray = npt.NDArray[np.bool_]

_PER_UNIT_NS = {"s": NANOSECONDS, "ms": 1_000_000, "us": 1_000, "ns": 1}
_NUMBER = r"^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$"
_BLANK = r"^(|nan|null|na|none)$"


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """One recording: t_ns int64 [n] ascending, values float32 [n, channels] (NaN where missing), anomalous bool [n] or None."""

    name: str
    role: Role
    t_ns: Int64Array
    values: Float32Array
    anomalous: BoolArray | None


@dataclass(frozen=True, slots=True, eq=False)
class Recordings:
    """All runs of a data set, the SHA-256 over its files, and the cells that held text, by file and column."""

    runs: list[Run]
    sha256: str
    text_cells: dict[str, int] = field(default_factory=dict)

    def of(self, *roles: Role) -> list[Run]:
        """The runs of these roles, in the file's order."""
        return [run for run in self.runs if run.role in roles]


def read(source: DatasetFile) -> Recordings:
    """Read every run; raises ConfigError that names the file and column at fault."""
    digest, text_cells = hashlib.sha256(), dict[str, int]()
    runs = []
    for run in source.dataset.run:
        path = source.path(run)
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
        runs.append(_read_run(path, run, source.dataset, text_cells))
    return Recordings(runs, digest.hexdigest(), text_cells)


def _read_run(path: Path, run: RunFile, dataset: Dataset, text_cells: dict[str, int]) -> Run:
    columns = [channel.column or channel.name for channel in dataset.channel]
    wanted = [*columns, *([dataset.time.column] if dataset.time else []), *([run.label] if run.label else [])]
    table = _table(path, wanted, dataset.separator)
    first, last = run.rows or (0, table.num_rows)
    if first >= table.num_rows:
        raise ConfigError(
            [Problem(str(path), f"rows start at {first}, the file has {table.num_rows}", "mend [[run]] rows")]
        )
    rows = np.arange(table.num_rows)[first:last]
    values = np.empty((len(rows), len(columns)), np.float32)
    for index, column in enumerate(columns):
        numbers, text = _numbers(table[column].slice(first, len(rows)), f"{path}: column '{column}'")
        with np.errstate(over="ignore"):  # becomes infinite, and below missing
            values[:, index] = numbers
        if text:
            key = f"{path.name}:{column}"
            text_cells[key] = text_cells.get(key, 0) + text
    values[~np.isfinite(values)] = np.nan  # beyond float32 is as unusable as absent
    t_ns = _times(table, dataset, path)[first:last]
    return Run(f"{path.name}[{first}:{first + len(rows)}]", run.role, t_ns, values, _labels(table, run, rows, path))


def _table(path: Path, wanted: list[str], separator: str) -> pa.Table:
    """The wanted columns; those of a CSV as text, so that a stray word costs one cell and not the column."""
    try:
        if path.suffix == ".parquet":
            table = pq.read_table(path)
        else:
            options = pa_csv.ConvertOptions(column_types=dict.fromkeys(wanted, pa.string()), strings_can_be_null=False)
            table = pa_csv.read_csv(
                path, parse_options=pa_csv.ParseOptions(delimiter=separator), convert_options=options
            )
    except (pa.ArrowException, OSError) as error:
        raise ConfigError(
            [Problem(str(path), f"cannot be read: {error}", "check the file and the separator")]
        ) from error
    if missing := [name for name in wanted if name not in table.column_names]:
        known = ", ".join(table.column_names[:20])
        raise ConfigError([Problem(str(path), f"there is no column {', '.join(missing)}", f"it has {known}")])
    return table.select(list(dict.fromkeys(wanted)))


def _numbers(column: pa.ChunkedArray, where: str) -> tuple[npt.NDArray[np.float64], int]:
    """Cells as float64 with NaN for blanks and text, and how many were text."""
    if not pa.types.is_string(column.type):
        return column.cast(pa.float64()).to_numpy(zero_copy_only=False), 0
    cells = pc.utf8_trim_whitespace(column.fill_null(""))
    is_number = pc.match_substring_regex(cells, _NUMBER)
    numbers = pc.if_else(is_number, cells, None).cast(pa.float64()).to_numpy(zero_copy_only=False)
    text = pc.sum(pc.invert(pc.or_(is_number, pc.match_substring_regex(cells, _BLANK, ignore_case=True)))).as_py() or 0
    if len(column) and text == len(column):
        sample = cells[0].as_py()
        raise ConfigError([Problem(where, f"holds no number, for example {sample!r}", "numbers need a decimal point")])
    return numbers, text


def _times(table: pa.Table, dataset: Dataset, path: Path) -> Int64Array:
    if dataset.time is None:
        return np.arange(table.num_rows, dtype=np.int64) * round(NANOSECONDS / dataset.rate_hz)
    t_ns: Int64Array
    column, where = table[dataset.time.column], f"{path}: column '{dataset.time.column}'"
    if column.null_count:
        raise ConfigError([Problem(where, f"{column.null_count} rows have no time", "fill them or drop the rows")])
    if pa.types.is_timestamp(column.type):
        t_ns = column.cast(pa.timestamp("ns", column.type.tz)).cast(pa.int64()).to_numpy(zero_copy_only=False)
    elif dataset.time.format == "text":
        t_ns = np.array([_parse_time_ns(cell.as_py(), where) for cell in column], np.int64)
    else:
        t_ns = _scaled_ns(column, _PER_UNIT_NS[dataset.time.format], where)
    if (np.diff(t_ns) < 0).any():
        row = int(np.argmax(np.diff(t_ns) < 0)) + 1
        raise ConfigError([Problem(where, f"time runs backwards at row {row}", "sort the file by time")])
    return t_ns


def _scaled_ns(column: pa.ChunkedArray, per_unit_ns: int, where: str) -> Int64Array:
    """Whole numbers are scaled as such: float64 cannot hold the nanoseconds of today."""
    try:
        whole: Int64Array = column.cast(pa.int64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        numbers, _ = _numbers(column, where)
    else:
        return whole * np.int64(per_unit_ns)
    if np.isnan(numbers).any():
        row = int(np.argmax(np.isnan(numbers)))
        raise ConfigError([Problem(where, f"row {row} has no time", "fill it or drop the row")])
    units = np.floor(numbers)
    fraction_ns: Int64Array = np.round((numbers - units) * per_unit_ns).astype(np.int64)
    return units.astype(np.int64) * per_unit_ns + fraction_ns


def _parse_time_ns(text: str, where: str) -> int:
    try:
        moment = dt.datetime.fromisoformat(text.strip())
    except ValueError as error:
        remedy = "write '2026-01-31T12:00:00Z' or '2026-01-31 12:00:00', or set [time] format"
        raise ConfigError([Problem(where, f"'{text}' is no time", remedy)]) from error
    moment = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    since = moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000


def _labels(table: pa.Table, run: RunFile, rows: Int64Array, path: Path) -> BoolArray | None:
    if run.anomaly_from_row is not None:
        from_row: BoolArray = rows >= run.anomaly_from_row
        return from_row
    if run.label is None:
        return None
    where = f"{path}: column '{run.label}'"
    numbers, _ = _numbers(table[run.label].slice(int(rows[0]), len(rows)), where)
    if np.isnan(numbers).any():
        row = int(rows[np.argmax(np.isnan(numbers))])
        raise ConfigError([Problem(where, f"row {row} has no label", "write 0 for normal, 1 for anomalous")])
    anomalous: BoolArray = numbers != 0
    return anomalous
