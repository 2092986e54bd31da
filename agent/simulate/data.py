"""Rows of a CSV or Parquet file as a device's samples: one column a channel, by its name, one row a sampling period."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from agent.errors import ConfigError, Problem
from agent.simulate.blocks import Float64Array


class Rows:
    """The rows of a file; a cell that is no number is no reading."""

    def __init__(self, values: Float64Array) -> None:
        """`values` float64 [rows, channels]."""
        self._values = values
        self._next = 0

    def read(self, count: int) -> Float64Array:
        """The next `count` rows, fewer at the end."""
        rows = self._values[self._next : self._next + count]
        self._next += len(rows)
        return rows


def read_rows(path: Path, channels: Sequence[str]) -> Rows:
    """The columns of these names; raises ConfigError where the file or a column is missing."""
    try:
        columns = _parquet(path) if path.suffix == ".parquet" else _csv(path)
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
        raise ConfigError([Problem(str(path), f"cannot be read: {error}", "give a CSV file with a header")]) from error
    if missing := [name for name in channels if name not in columns]:
        what = f"there is no column {', '.join(missing)}"
        raise ConfigError(
            [Problem(str(path), what, f"name columns as the profile's channels; it has {', '.join(columns)}")]
        )
    return Rows(np.column_stack([columns[name] for name in channels]))


def _csv(path: Path) -> dict[str, Float64Array]:
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        header = next(reader, [])
        rows = [row for row in reader if row]
    return {
        name.strip(): np.array([_number(row[index]) if index < len(row) else np.nan for row in rows])
        for index, name in enumerate(header)
    }


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return float("nan")


def _parquet(path: Path) -> dict[str, Float64Array]:
    import pyarrow as pa  # noqa: PLC0415 - only where the extra `train` is there
    import pyarrow.parquet as pq  # noqa: PLC0415

    table = pq.read_table(path)
    return {
        name: table[name].cast(pa.float64()).to_numpy(zero_copy_only=False)
        for name in table.column_names
        if pa.types.is_integer(table.schema.field(name).type) or pa.types.is_floating(table.schema.field(name).type)
    }
