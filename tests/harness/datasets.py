"""A tiny data set on disk: three channels that obey a law, and a test run in which they stop obeying it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

FAULT_FROM_ROW = 300
_ROWS = 600

TOML = """
name = "pump"
rate_hz = 10.0
[time]
column = "t"
format = "ms"
[[channel]]
name = "pressure"
unit = "bar"
column = "p"
[[channel]]
name = "flow"
unit = "l/min"
[[channel]]
name = "current"
unit = "A"
[[run]]
file = "normal.csv"
role = "train"
[[run]]
file = "held_out.parquet"
role = "calibrate"
[[run]]
file = "fault.csv"
role = "test"
label = "fault"
"""


def write_dataset(folder: Path) -> Path:
    """Write the files and the TOML; returns the latter's path."""
    pa_csv.write_csv(_table(1), folder / "normal.csv")
    pq.write_table(_table(2), folder / "held_out.parquet")
    pa_csv.write_csv(_table(3, fault=True), folder / "fault.csv")
    path = folder / "pump.toml"
    path.write_text(TOML)
    return path


def _table(seed: int, *, fault: bool = False) -> pa.Table:
    """Flow follows pressure, current follows both; after the fault the pump draws more current for the same work."""
    rng = np.random.default_rng(seed)
    rows = np.arange(_ROWS)
    pressure = 5 + np.sin(rows / 7) + 0.1 * rng.normal(size=_ROWS)
    flow = 20 + 3 * pressure + 0.3 * rng.normal(size=_ROWS)
    current = 1 + 0.1 * pressure + 0.02 * flow + 0.02 * rng.normal(size=_ROWS)
    label = (rows >= FAULT_FROM_ROW) & fault
    columns = {"t": 1_700_000_000_000 + rows * 100, "p": pressure, "flow": flow, "current": current + 0.5 * label}
    return pa.table(columns | {"fault": label.astype(np.int64)})
