"""Where data comes from: patterns, folders, several files a run, archives of pieces, and who says what is a fault."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from agent.errors import ConfigError
from export import data, dataset, windows
from export.data import Recordings

HEAD = 'name = "d"\nrate_hz = 2.0\n'
X = '[[channel]]\nname = "x"\nunit = "1"\n'
TIME = '[time]\ncolumn = "t"\nformat = "s"\n'
TRAIN = '[[run]]\nfile = "x.csv"\nrole = "train"\n'
START_NS = 1_700_000_000_000_000_000


def read(folder: Path, toml: str, **files: str) -> Recordings:
    """A data set of these files, `__` in their names being a slash and `_csv` their suffix."""
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_csv", ".csv").replace("_json", ".json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "d.toml").write_text(toml)
    return data.read(dataset.load(folder / "d.toml"))


def refused(folder: Path, toml: str, **files: str) -> str:
    with pytest.raises(ConfigError) as error:
        read(folder, toml, **files)
    return str(error.value)


def seconds(*times: float) -> str:
    return "t,x\n" + "".join(f"{1_700_000_000 + time},{index}\n" for index, time in enumerate(times))


def labels(recordings: Recordings) -> list[int]:
    found = recordings.runs[0].labels
    assert found is not None
    return found.tolist()


def test_a_pattern_finds_every_file_in_order_and_folders_name_the_class(tmp_path: Path) -> None:
    toml = HEAD + '[classes]\ngood = "normal"\nleak = "leak"\nwear = "worn bearing"\n' + X
    toml += TRAIN.replace("x.csv", "good/*.csv")
    toml += '[[run]]\nfile = "[lw]*/*.csv"\nrole = "test"\nclass_by_folder = true\n'
    csv = "x\n1\n2\n"
    recordings = read(
        tmp_path, toml, wear__b_csv=csv, wear__a_csv=csv, leak__a_csv=csv, good__2_csv=csv, good__1_csv=csv
    )
    names = ["good/1.csv", "good/2.csv", "leak/a.csv", "wear/a.csv", "wear/b.csv"]
    assert [run.name for run in recordings.runs] == names
    assert recordings.kinds == ("leak", "worn bearing")
    assert [None if run.labels is None else run.labels.tolist() for run in recordings.runs[1:]] == [
        None,
        [1, 1],
        [2, 2],
        [2, 2],
    ]
    assert recordings.report.runs[3].labels == {"worn bearing": 2}


def test_a_label_column_holds_words_numbers_or_truth_values(tmp_path: Path) -> None:
    toml = HEAD + '[classes]\n0 = "normal"\n7 = "leak"\nrub = "rub"\n' + X + TRAIN + 'label = "y"\n'
    recordings = read(tmp_path, toml, x_csv="x,y\n1,0\n1,7.0\n1,rub\n1, normal \n1,leak\n")
    assert labels(recordings) == [0, 1, 2, 0, 1]
    assert recordings.report.runs[0].labels == {"normal": 2, "leak": 2, "rub": 1}
    assert labels(read(tmp_path, HEAD + X + TRAIN + 'label = "y"\n', x_csv="x,y\n1,false\n1,True\n1,0.0\n1,-2\n")) == [
        0,
        1,
        0,
        1,
    ]
    assert "row 1: [classes] does not have '8'" in refused(tmp_path, toml, x_csv="x,y\n1,0\n1,8\n")


@pytest.mark.parametrize(
    "given",
    [
        ("i_csv", "start,end,class\n2023-11-14T22:13:21Z,2023-11-14 22:13:22,leak\n"),
        ("i_json", json.dumps([["2023-11-14T22:13:21Z", "2023-11-14T23:13:22+01:00", "leak"]])),
        ("i_json", json.dumps([{"start": "2023-11-14 22:13:21", "end": "2023-11-14 22:13:22", "class": "leak"}])),
        ("i_json", json.dumps({"y.csv": [], "x.csv": [["2023-11-14 22:13:21", "2023-11-14 22:13:22"]]})),
    ],
)
def test_intervals_of_fault_include_both_ends(tmp_path: Path, given: tuple[str, str]) -> None:
    toml = HEAD + '[classes]\nleak = "leak"\n' + TIME + X + TRAIN + f'intervals = "{given[0].replace("_", ".")}"\n'
    recordings = read(tmp_path, toml, x_csv=seconds(0, 0.5, 1, 1.5, 2, 2.5), **dict([given]))
    assert labels(recordings) == [0, 0, 1, 1, 1, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [("start\n2023-11-14\n", "holds no intervals"), ("start,end\n2023-11-15,2023-11-14\n", "ends before it begins")],
)
def test_intervals_that_cannot_be_are_refused(tmp_path: Path, text: str, message: str) -> None:
    toml = HEAD + TIME + X + TRAIN + 'intervals = "i.csv"\n'
    assert message in refused(tmp_path, toml, x_csv=seconds(0), i_csv=text)


def test_runs_split_by_time_never_share_a_row(tmp_path: Path) -> None:
    toml = HEAD + TIME + X + TRAIN + "to = 2023-11-14T22:13:21Z\n"
    toml += TRAIN.replace("train", "test") + 'from = "2023-11-14T23:13:21+01:00"\nto = 2023-11-14T22:13:22.500Z\n'
    early, late = read(tmp_path, toml, x_csv=seconds(0, 0.5, 1, 1.5, 2, 2.5, 3)).runs
    assert early.values[:, 0].tolist() == [0, 1]
    assert late.values[:, 0].tolist() == [2, 3, 4]


def test_units_states_and_invalid_codes_become_numbers_in_the_channels_unit(tmp_path: Path) -> None:
    channel = X + 'unit_from = "[degF]"\ninvalid = [-999.0]\nstates = { FREEZING = 32.0 }\n'
    recordings = read(tmp_path, HEAD + channel.replace('"1"', '"Cel"') + '[[channel]]\nname = "y"\nunit = "1"\n' + TRAIN,
                      x_csv="x,y\n212,1\n-999,1\nFREEZING,1\n")  # fmt: skip
    np.testing.assert_allclose(recordings.runs[0].values[:, 0], [100.0, np.nan, 0.0], atol=1e-5)
    assert recordings.report.converted == {"x": "[degF] to Cel"}
    wrong = refused(tmp_path, HEAD + X + 'unit_from = "bar"\n' + TRAIN, x_csv="x\n1\n")
    assert "unit_from: 'bar' cannot be converted to '1'" in wrong


def test_sensor_faults_are_masked_as_on_the_box_and_counted(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = np.round(rng.normal(size=200), 1)
    x[100:150], x[20], x[160] = x[100], 50.0, -7.0
    channel = X + "minimum = -6.0\nmaximum = 99.0\nresolution = 0.1\nnoise = 1.0\nmax_step = 20.0\n"
    recordings = read(tmp_path, HEAD + channel + TRAIN, x_csv="x\n" + "".join(f"{value}\n" for value in x))
    (found,) = recordings.report.runs[0].streams[0].channels
    assert found.flagged == {"out_of_range": 1, "stuck": 45, "jumped": 1}
    cut = windows.cut(recordings.runs[0], dataset.load(tmp_path / "d.toml").dataset.contract(1, 1))
    assert len(cut) == 199 - 47  # the last cell would still be open
    assert cut.values.max() < 6
    assert "x: 45 values are stuck and were masked" in "\n".join(recordings.report.remarks())


def test_gaps_duplicates_disorder_and_clock_steps_are_counted(tmp_path: Path) -> None:
    times = [0, 0.5, 1, 1, 3, 2.5, 3.5, 10_000, 4, 20_000, 20_000.5, 20_001]
    recordings = read(tmp_path, HEAD + TIME + X + TRAIN, x_csv=seconds(*times) + "later,1\n")
    (stream,) = recordings.report.runs[0].streams
    assert (stream.rows, stream.samples, stream.untimed, stream.disbelieved) == (13, 10, 1, 2)
    assert (stream.duplicates, stream.disordered, stream.clock_steps) == (1, 1, 1)
    assert (stream.gaps, stream.longest_gap_s) == (2, 19_996.5)
    assert stream.begin == "2023-11-14T22:13:20.000Z"


def test_times_in_seconds_begin_their_cells_exactly(tmp_path: Path) -> None:
    times = "".join(f"{1_700_000_000 + tenth / 10:.1f},{tenth}\n" for tenth in range(20))
    toml = HEAD.replace("2.0", "10.0") + TIME + X + TRAIN
    run = read(tmp_path, toml, x_csv="t,x\n" + times).runs[0]
    assert ((run.t_ns - START_NS) // 100_000_000).tolist() == list(range(20))


SOURCES = (
    HEAD.replace("2.0", "10.0")
    + 'hold_cells = 9\n[[source]]\nname = "fast"\nfile = "fast.csv"\nrate_hz = 10.0\nstart = 2023-11-14T22:13:20Z\n'
    '[[source]]\nname = "slow"\nfile = "slow.csv"\nrate_hz = 1.0\ntime = { column = "t", format = "s" }\n'
    '[[channel]]\nname = "x"\nunit = "1"\nsource = "slow"\n[[channel]]\nname = "v"\nunit = "m/s2"\nsource = "fast"\n'
    '[[run]]\nfile = "runs/*"\nrole = "train"\nlabel = "bad"\n'
)


def test_files_of_several_rates_meet_on_one_grid(tmp_path: Path) -> None:
    slow = "t,x,bad\n" + "".join(f"{1_700_000_000 + second},{second},{int(second > 3)}\n" for second in range(7))
    fast = "v\n" + "".join(f"{tenth}\n" for tenth in range(65))
    recordings = read(
        tmp_path,
        SOURCES,
        runs__a__slow_csv=slow,
        runs__a__fast_csv=fast,
        runs__b__slow_csv=slow,
        runs__b__fast_csv=fast,
    )
    assert [run.name for run in recordings.runs] == ["runs/a", "runs/b"]
    found = windows.cut(recordings.runs[0], dataset.load(tmp_path / "d.toml").dataset.contract(20, 10))
    assert found.unknown == 0
    assert ((found.end_ns - START_NS) // 100_000_000).tolist() == [20, 30, 40, 50, 60]
    for index, end in enumerate([20, 30, 40, 50, 60]):
        np.testing.assert_array_equal(found.values[index, 1], np.arange(end - 20, end))
        np.testing.assert_array_equal(found.values[index, 0], np.arange(end - 20, end) // 10)
    assert found.labels is not None
    assert found.labels.tolist() == [0, 0, 0, 1, 1]
    slow_report, fast_report = sorted(recordings.report.runs[0].streams, key=lambda stream: stream.rate_hz)
    assert (slow_report.rows, fast_report.rows, slow_report.gaps, fast_report.gaps) == (7, 65, 0, 0)


def test_what_several_files_cannot_say_is_refused(tmp_path: Path) -> None:
    both = {"runs__a__slow_csv": "t,x\n1,1\n", "runs__a__fast_csv": "v\n1\n"}
    assert "no file in" in refused(tmp_path, SOURCES, **both)
    assert "each run needs a file of every [[source]]" in refused(
        tmp_path, SOURCES.replace('"fast.csv"', '"f.csv"'), **both
    )
    assert "rows of their own" in refused(tmp_path, SOURCES.replace('label = "bad"', "rows = [0, 1]"), **both)
    assert "set source to one of fast, slow" in refused(tmp_path, SOURCES.replace('source = "slow"', ""), **both)


PIECES = HEAD + '[[channel]]\nname = "x"\nunit = "[g]"\n[[channel]]\nname = "z"\nunit = "[g]"\ncolumn = "2"\n'


def test_pieces_of_an_archive_are_cut_each_by_itself(tmp_path: Path) -> None:
    pieces = np.arange(5 * 12 * 3, dtype=np.float32).reshape(5, 12, 3)
    np.savez(
        tmp_path / "p.npz",
        low=pieces,
        low_2=pieces[:2] + 1000,
        high=-pieces,
        kind=np.array(["ok", "ok", "rub", "ok", "rub"]),
    )
    toml = PIECES + '[[run]]\nfile = "p.npz"\nrole = "train"\narray = "low*"\n'
    recordings = read(tmp_path, toml)
    assert [run.name for run in recordings.runs] == ["p.npz:low", "p.npz:low_2"]
    terms = dataset.load(tmp_path / "d.toml").dataset.contract(12, 5)
    found = windows.cut(recordings.runs[0], terms)
    np.testing.assert_array_equal(found.values, pieces[:, :, [0, 2]].transpose(0, 2, 1))
    halves = windows.cut(recordings.runs[0], dataset.load(tmp_path / "d.toml").dataset.contract(5, 4))
    assert (len(halves), halves.unknown) == (10, 0)
    np.testing.assert_array_equal(halves.values[3], pieces[1, 4:9][:, [0, 2]].T)


def test_pieces_bear_labels_of_their_own_and_holes_cost_their_own_piece(tmp_path: Path) -> None:
    pieces = np.random.default_rng(0).normal(size=(4, 12, 3)).astype(np.float32)
    pieces[2, 7, 0] = np.nan
    np.savez(tmp_path / "p.npz", low=pieces, kind=np.array(["ok", "rub", "rub", "ok"]))
    toml = (
        '[classes]\nok = "normal"\nrub = "rub"\n'
        + PIECES.replace(HEAD, "")
        + '[[run]]\nfile = "p.npz"\nrole = "train"\narray = "low"\nlabel = "kind"\n'
    )
    recordings = read(tmp_path, HEAD + toml + "rows = [1, 4]\n")
    found = windows.cut(recordings.runs[0], dataset.load(tmp_path / "d.toml").dataset.contract(12, 12))
    assert found.labels is not None
    assert (found.labels.tolist(), found.unknown) == ([1, 0], 1)
    np.testing.assert_array_equal(found.values, pieces[[1, 3]][:, :, [0, 2]].transpose(0, 2, 1))
    assert "there is no array 'sort'" in refused(tmp_path, HEAD + toml.replace('"kind"', '"sort"'))
    assert "no array is called high" in refused(tmp_path, HEAD + toml.replace('"low"', '"high"'))
    assert "has no column 3 for channel 'z'" in refused(tmp_path, HEAD + toml.replace('"2"', '"3"'))
    assert "pieces have no time of their own" in refused(tmp_path, HEAD + toml + "from = 2023-11-14T22:13:20Z\n")


CYCLES = SOURCES.replace(".csv", "").replace('"slow"\nrate_hz = 1.0\ntime = { column = "t", format = "s" }', '"slow"\nrate_hz = 1.0').replace(
    "start = 2023-11-14T22:13:20Z\n", ""
).replace("runs/*", "c.npz")  # fmt: skip


def test_cycles_of_several_rates_meet_on_one_grid_and_never_each_other(tmp_path: Path) -> None:
    fast, slow = np.arange(3 * 60.0).reshape(3, 60, 1), np.arange(3 * 6.0).reshape(3, 6, 1)
    np.savez(tmp_path / "c.npz", slow=slow, fast=fast, bad=np.array([0, 1, 0]))
    recordings = read(tmp_path, CYCLES)
    found = windows.cut(recordings.runs[0], dataset.load(tmp_path / "d.toml").dataset.contract(60, 60))
    assert found.labels is not None
    assert (found.labels.tolist(), found.unknown) == ([0, 1, 0], 0)
    for cycle in range(3):
        np.testing.assert_array_equal(found.values[cycle, 1], fast[cycle, :, 0])
        np.testing.assert_array_equal(found.values[cycle, 0], np.repeat(slow[cycle, :, 0], 10))
    part = read(tmp_path, CYCLES + "rows = [1, 3]\n").runs[0]
    assert part.labels is not None
    assert part.labels.tolist() == [1] * 66 + [0] * 66
    np.savez(tmp_path / "c.npz", slow=slow[:, :5], fast=fast, bad=np.array([0, 1, 0]))
    assert "fast: 3 pieces of 6 s, slow: 3 pieces of 5 s" in refused(tmp_path, CYCLES)
    np.savez(tmp_path / "c.npz", fast=fast, bad=np.array([0, 1, 0]))
    assert "no array is called slow" in refused(tmp_path, CYCLES)


def test_a_new_piece_may_begin_anywhere_and_a_jump_within_one_is_masked(tmp_path: Path) -> None:
    pieces = np.zeros((2, 20, 1), np.float32)
    pieces[1] = 50.0
    pieces[1, 10] = 0.0
    np.savez(tmp_path / "p.npz", p=pieces)
    recordings = read(tmp_path, HEAD + X + 'max_step = 2.0\n[[run]]\nfile = "p.npz"\nrole = "train"\n')
    assert recordings.report.runs[0].streams[0].channels[0].flagged == {"jumped": 1}
    assert recordings.runs[0].flags[30, 0] != 0


def test_a_piece_that_begins_with_a_hole_keeps_its_place(tmp_path: Path) -> None:
    pieces = np.arange(3 * 4.0, dtype=np.float32).reshape(3, 4, 1)
    pieces[0, 0] = pieces[2] = np.nan
    np.savez(tmp_path / "p.npz", p=pieces)
    recordings = read(tmp_path, HEAD + X + '[[run]]\nfile = "p.npz"\nrole = "train"\n')
    found = windows.cut(recordings.runs[0], dataset.load(tmp_path / "d.toml").dataset.contract(2, 1))
    assert found.values[:, 0].tolist() == [[1, 2], [2, 3], [4, 5], [5, 6], [6, 7]]
    assert found.unknown == 1


def test_what_is_said_twice_or_nowhere_is_refused(tmp_path: Path) -> None:
    csv = {"x_csv": "x,y\n1,0\n"}
    assert "label, class say the same thing twice" in refused(
        tmp_path, HEAD + X + TRAIN + 'label = "y"\nclass = "normal"\n', **csv
    )
    assert "there is no file" in refused(tmp_path, HEAD + X + TRAIN.replace("x.csv", "no/*.csv"), **csv)
    assert "has no row to use" in refused(
        tmp_path, HEAD + TIME + X + TRAIN + "from = 2030-01-01T00:00:00Z\n", x_csv=seconds(0, 1)
    )
    assert "the range 3.0 to 1.0 is empty" in refused(
        tmp_path, HEAD + X + "minimum = 3.0\nmaximum = 1.0\n" + TRAIN, **csv
    )
    assert "is no range" in refused(tmp_path, HEAD + X + "rails = [3.0, 1.0]\n" + TRAIN, **csv)
