"""Data sets in TOML and recordings in CSV and Parquet: what is read, what is counted, what is refused and where."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from agent.errors import ConfigError
from export import data, dataset, windows
from tests.harness.datasets import TOML, write_dataset

ONE = """
name = "one"
rate_hz = 2.0
[[channel]]
name = "x"
unit = "g"
[[run]]
file = "x.csv"
role = "train"
"""


def read_one(folder: Path, csv: str, toml: str = ONE) -> data.Recordings:
    (folder / "x.csv").write_text(csv)
    (folder / "one.toml").write_text(toml)
    return data.read(dataset.load(folder / "one.toml"))


def test_csv_and_parquet_read_alike(tmp_path: Path) -> None:
    recordings = data.read(dataset.load(write_dataset(tmp_path)))
    train, held_out = recordings.of("train", "calibrate")
    assert train.values.shape == held_out.values.shape == (600, 3)
    assert train.values.dtype == np.float32
    np.testing.assert_array_equal(train.t_ns, held_out.t_ns)
    assert train.t_ns[1] == 1_700_000_000_100 * 1_000_000
    (test,) = recordings.of("test")
    assert test.anomalous is not None
    assert np.flatnonzero(test.anomalous)[0] == 300


def test_the_digest_follows_the_data(tmp_path: Path) -> None:
    source = dataset.load(write_dataset(tmp_path))
    before = data.read(source).sha256
    with (tmp_path / "fault.csv").open("a") as file:
        file.write("1700000060000,1,2,3,0\n")
    assert data.read(source).sha256 != before


def test_every_problem_is_listed_at_once(tmp_path: Path) -> None:
    text = TOML.replace("rate_hz = 10.0", "rate_hz = 0.0").replace('name = "flow"', 'name = "pressure"')
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(ConfigError) as raised:
        dataset.load(tmp_path / "bad.toml")
    found = "\n".join(str(problem) for problem in raised.value.problems)
    assert "bad.toml:3: rate_hz: the rate must be above zero" in found
    assert "channel 'pressure' is named twice" in found
    assert found.count("there is no file") == 3


def test_an_unknown_key_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'separator'"):
        read_one(tmp_path, "x\n1\n", ONE.replace("rate_hz", 'seperator = ";"\nrate_hz'))


def test_rows_without_a_time_column_lie_on_the_rate(tmp_path: Path) -> None:
    run = read_one(tmp_path, "x\n1\n0\n-2.5e0\n").runs[0]
    assert run.t_ns.tolist() == [0, 500_000_000, 1_000_000_000]
    assert run.values[:, 0].tolist() == [1.0, 0.0, -2.5]


def test_text_in_numeric_cells_is_missing_and_counted_and_blanks_are_only_missing(tmp_path: Path) -> None:
    recordings = read_one(tmp_path, 'x,y\n1,a\nBad,b\n,c\n" 4 ",d\nInp OutRange,e\nNaN,f\n')
    assert recordings.runs[0].values[:, 0].tolist() == [1.0, 4.0]
    assert recordings.runs[0].t_ns.tolist() == [0, 1_500_000_000]
    (stream,) = recordings.report.runs[0].streams
    assert stream.channels[0].text == {"Bad": 1, "Inp OutRange": 1}
    assert (stream.rows, stream.samples, stream.empty, stream.channels[0].blank) == (6, 2, 4, 2)


def test_a_number_beyond_float32_is_missing(tmp_path: Path) -> None:
    assert np.isnan(read_one(tmp_path, "x\n1\n1e300\n").runs[0].values[1, 0])


def test_a_column_of_words_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="column 'x': holds no number, for example '1,5'"):
        read_one(tmp_path, 'x\n"1,5"\n"2,5"\n')


def test_a_missing_column_names_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no column x \(it has a, b\)"):
        read_one(tmp_path, "a,b\n1,2\n")


def test_separator_rows_and_anomaly_row(tmp_path: Path) -> None:
    toml = ONE.replace("rate_hz", 'separator = ";"\nrate_hz') + "rows = [1, 4]\nanomaly_from_row = 3\n"
    run = read_one(tmp_path, "x;y\n0;0\n1;0\n2;0\n3;0\n4;0\n", toml).runs[0]
    assert run.values[:, 0].tolist() == [1, 2, 3]
    assert run.anomalous is not None
    assert run.anomalous.tolist() == [False, False, True]


def test_rows_behind_the_end_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="rows start at 9, the file has 1"):
        read_one(tmp_path, "x\n0\n", ONE + "rows = [9, 12]\n")


@pytest.mark.parametrize(
    ("form", "cells", "expected_ns"),
    [
        ("s", ["1700000000", "1700000001"], 1_700_000_000_000_000_000),
        ("s", ["1700000000.25", "1700000001"], 1_700_000_000_250_000_000),
        ("ms", ["1700000000123", "1700000000124"], 1_700_000_000_123_000_000),
        ("us", ["1700000000123456", "1700000000123457"], 1_700_000_000_123_456_000),
        ("ns", ["1700000000123456789", "1700000000123456790"], 1_700_000_000_123_456_789),
        ("text", ["2023-11-14 22:13:20", "2023-11-14 22:13:21"], 1_700_000_000_000_000_000),
        ("text", ["2023-11-14T23:13:20.5+01:00", "2023-11-14T22:13:21Z"], 1_700_000_000_500_000_000),
    ],
)
def test_times_are_exact_in_every_unit(tmp_path: Path, form: str, cells: list[str], expected_ns: int) -> None:
    toml = ONE.replace("[[channel]]", f'[time]\ncolumn = "t"\nformat = "{form}"\n[[channel]]', 1)
    csv = "t,x\n" + "".join(f"{cell},1\n" for cell in cells)
    assert read_one(tmp_path, csv, toml).runs[0].t_ns[0] == expected_ns


def test_parquet_timestamps_need_no_format(tmp_path: Path) -> None:
    moments = [dt.datetime(2023, 11, 14, 22, 13, 20 + second, tzinfo=dt.UTC) for second in range(2)]
    pq.write_table(
        pa.table({"t": pa.array(moments, pa.timestamp("us", "UTC")), "x": [1.0, None], "y": [2.0, 3.0]}),
        tmp_path / "x.parquet",
    )
    toml = ONE.replace("x.csv", "x.parquet").replace("[[channel]]", '[time]\ncolumn = "t"\n[[channel]]', 1)
    toml = toml.replace("[[run]]", '[[channel]]\nname = "y"\nunit = "1"\n[[run]]')
    run = read_one(tmp_path, "", toml).runs[0]
    assert run.t_ns[0] == 1_700_000_000_000_000_000
    assert np.isnan(run.values[1, 0])


@pytest.mark.parametrize(
    ("form", "cells", "message"),
    [
        ("s", ["soon"], "'soon' is no time"),
        ("ms", ["1e300"], "'1e300' is no time"),
        ("text", ["yesterday"], "'yesterday' is no time"),
    ],
)
def test_times_that_cannot_be_are_refused(tmp_path: Path, form: str, cells: list[str], message: str) -> None:
    toml = ONE.replace("[[channel]]", f'[time]\ncolumn = "t"\nformat = "{form}"\n[[channel]]', 1)
    with pytest.raises(ConfigError, match=message):
        read_one(tmp_path, "t,x\n" + "".join(f"{cell},1\n" for cell in cells), toml)


def test_a_row_without_a_label_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="column 'bad': row 1: has no label"):
        read_one(tmp_path, "x,bad\n1,0\n1,\n", ONE + 'label = "bad"\n')


def test_windows_are_the_daemons_and_labelled_by_their_last_row(tmp_path: Path) -> None:
    source = dataset.load(write_dataset(tmp_path))
    (test,) = data.read(source).of("test")
    test.values[100, 1] = np.nan
    found = windows.cut(test, source.dataset.contract(window=10, hop=5))
    starts = (found.end_ns - test.t_ns[0]) // 100_000_000 - 10
    assert found.unknown == 2
    assert not np.isin(starts, [95, 100]).any()
    for index in (0, len(found) - 1):
        np.testing.assert_array_equal(found.values[index], test.values[starts[index] : starts[index] + 10].T)
    assert found.anomalous is not None
    np.testing.assert_array_equal(found.anomalous, starts + 9 >= 300)


def test_a_held_out_tail_shares_no_cell_with_what_comes_before(tmp_path: Path) -> None:
    source = dataset.load(write_dataset(tmp_path))
    contract = source.dataset.contract(window=10, hop=1)
    early, late = windows.split_tail(windows.cut(data.read(source).runs[0], contract), 0.25, contract)
    assert early.end_ns[-1] == late.end_ns[0] - 10 * contract.period_ns
    assert len(late) == pytest.approx(0.25 * 590, abs=2)


def test_overlap_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    source = dataset.load(write_dataset(tmp_path))
    run = data.read(source).runs[0]
    with pytest.raises(ConfigError, match="larger --hop"):
        windows.cut(run, source.dataset.contract(window=2_000_000, hop=1))
