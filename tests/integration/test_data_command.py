"""`stethos model data`: a dirty data set told to people and to scripts; a real refinery's series read as it is."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from tests.harness.command_line import stethos
from tests.harness.datasets import write_dataset


@pytest.fixture
def dirty(tmp_path: Path) -> Path:
    """The tiny data set, with words in three cells, a row twice, a hole, and a pressure in another unit."""
    toml = write_dataset(tmp_path)
    path = tmp_path / "normal.csv"
    lines = path.read_text().splitlines()
    for row, word in ((50, "Bad"), (60, "Bad"), (70, "Inp OutRange")):
        cells = lines[row].split(",")
        lines[row] = ",".join([cells[0], f'"{word}"', *cells[2:]])
    path.write_text("\n".join([*lines[:101], lines[100], *lines[131:]]) + "\n")
    toml.write_text(toml.read_text().replace('unit = "bar"', 'unit = "kPa"\nunit_from = "bar"'))
    return toml


def test_people_read_what_was_found_and_what_became_of_it(dirty: Path) -> None:
    told = stethos("model", "data", dirty, "--window", 16, "--hop", 4)
    assert told.exit_code == 0, told.output
    assert "pressure converted from bar to kPa" in told.output
    assert "571 rows from 2023-11-14T22:13:20.000Z over 59.9 s" in told.output
    assert "1 with the time of another, 1 gaps, the longest 3.1 s" in told.output
    assert "pressure: 568 of 571 values are good: 'Bad' 2, 'Inp OutRange' 1" in told.output
    assert "fault.csv: test (normal 300, fault 300)" in told.output
    assert "flow" not in told.output


def test_scripts_read_everything(dirty: Path) -> None:
    report = json.loads(stethos("model", "data", dirty, "--window", 16, "--json").stdout)
    first = report["runs"][0]
    assert first["streams"][0]["channels"][0]["text"] == {"Bad": 2, "Inp OutRange": 1}
    assert first["streams"][0]["channels"][0]["mean"] == pytest.approx(500, rel=0.02)
    assert (first["windows"]["window"], first["windows"]["hop"]) == (16, 16)
    assert first["windows"]["unknown"] >= 4
    assert report["runs"][2]["windows"]["labels"].keys() == {"normal", "fault"}
    assert json.loads(stethos("model", "data", dirty, "--json").stdout)["runs"][0]["windows"] is None


def test_the_report_is_kept_with_the_trained_model(dirty: Path) -> None:
    run = dirty.parent / "run"
    trained = stethos("model", "train", dirty, "--model", "pca", "--window", 8, "--hop", 4, "--out", run)
    assert trained.exit_code == 0, trained.output
    assert "3 cells hold text ('Bad', 'Inp OutRange') and count as missing" in trained.output
    kept = json.loads((run / "run.json").read_text())["data"]
    assert kept == json.loads(stethos("model", "data", dirty, "--window", 8, "--hop", 4, "--json").stdout)


def test_a_hop_without_a_window_and_a_data_set_with_faults_exit_2(dirty: Path) -> None:
    assert (stethos("model", "data", dirty, "--hop", 4).exit_code) == 2
    dirty.write_text(dirty.read_text().replace("unit_from", "unit_form"))
    refused = stethos("model", "data", dirty)
    assert (refused.exit_code, "did you mean 'unit_from'" in refused.output) == (2, True)


def test_a_real_refinerys_words_are_named_and_cost_their_cells_alone(tmp_path: Path) -> None:
    spec = importlib.util.find_spec("bibmon")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("the wheel bibmon 1.2.0 is not installed, see scripts/setup")
    path = Path(spec.submodule_search_locations[0]) / "real_process_data" / "real_process_data.csv"
    with path.open() as file:
        tags = file.readline().strip().split(",")[1:]
    (tmp_path / "real.csv").symlink_to(path)
    channels = "".join(f'[[channel]]\nname = "{tag}"\nunit = "1"\n' for tag in tags)
    toml = f'name = "refinery"\nrate_hz = {1 / 300}\n[time]\ncolumn = ""\n{channels}[[run]]\nfile = "real.csv"\nrole = "train"\n'
    (tmp_path / "refinery.toml").write_text(toml)
    report = json.loads(
        stethos("model", "data", tmp_path / "refinery.toml", "--window", 12, "--hop", 1, "--json").stdout
    )
    ((stream,), windows) = report["runs"][0]["streams"], report["runs"][0]["windows"]
    assert (stream["rows"], stream["samples"], stream["gaps"], len(stream["channels"])) == (3_169, 3_169, 0, 108)
    words = {channel["name"]: channel["text"] for channel in stream["channels"] if channel["text"]}
    assert words == {
        "tag2": {"Inp OutRange": 156},
        "tag34": {"Bad": 14},
        "tag36": {"Scan Timeout": 1},
        "tag70": {"Bad": 326},
        "tag72": {"Scan Timeout": 1},
    }
    assert sum(channel["samples"] - channel["good"] for channel in stream["channels"]) == 498
    assert windows["known"] + windows["unknown"] == 3_169 - 12
