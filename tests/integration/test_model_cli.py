"""The workstation's commands on a tiny data set, from TOML to a verified bundle, and how they refuse."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from click.testing import Result

from agent.infer.bundle import open_bundle
from agent.infer.keys import public_key
from agent.infer.loading import load
from agent.infer.settings import InferenceSettings
from export.cli import extra
from tests.harness.bundles import tiny_bundle
from tests.harness.command_line import stethos
from tests.harness.datasets import write_dataset


def train(folder: Path, family: str = "pca", out: str = "run", window: int = 16) -> Result:
    options = ("--model", family, "--window", window, "--hop", 4, "--out", folder / out, "--epochs", 3)
    return stethos("model", "train", folder / "pump.toml", *options)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_dataset(tmp_path)
    assert stethos("bundle", "keygen", tmp_path / "release").exit_code == 0
    return tmp_path


@pytest.mark.parametrize("family", ["conv-autoencoder", "pca"])
def test_from_data_to_a_bundle_that_the_agent_trusts(folder: Path, family: str) -> None:
    trained = train(folder, family)
    assert trained.exit_code == 0, trained.output
    assert "separate excursions" in trained.output
    evaluated = stethos("model", "evaluate", folder / "run", "--false-alarms", "1 per hour", "--json")
    assert evaluated.exit_code == 0, evaluated.output
    judged = json.loads(evaluated.stdout)
    assert judged["metrics"]["roc_auc"] > 0.95
    assert judged["metrics"]["anomalies_detected"] == judged["metrics"]["anomalies"] == 1
    assert 0 < judged["metrics"]["median_delay_s"] < 3
    assert "no point adjustment" in judged["protocol"]
    exported = stethos(
        "model", "export", folder / "run", "--key", folder / "release.key", "--out", folder, "--counter", 7
    )
    assert exported.exit_code == 0, exported.output
    bundle = folder / "pump-1.0.0.stethos"
    opened = open_bundle(bundle.read_bytes(), [public_key((folder / "release.pub").read_bytes(), "pub")])
    assert opened.manifest.counter == 7
    assert opened.manifest.provenance.metrics == judged["metrics"]
    assert opened.golden.score.max() > 10 * opened.golden.score.min()
    assert load(opened, InferenceSettings(device="cpu")).degraded is None
    verified = stethos("bundle", "verify", bundle, "--key", folder / "release.pub")
    assert (verified.exit_code, "golden windows agree" in verified.output) == (0, True)
    shown = stethos("bundle", "show", bundle)
    assert "pressure [bar], flow [l/min], current [A]" in shown.output
    assert json.loads(stethos("bundle", "show", bundle, "--json").stdout)["model"]["family"] == family


def test_evaluation_can_be_read_by_people(folder: Path) -> None:
    train(folder)
    evaluated = stethos("model", "evaluate", folder / "run")
    assert evaluated.exit_code == 0, evaluated.output
    assert "at most 1 per week" in evaluated.output
    assert "Protocol: causal" in evaluated.output


def test_without_a_calibration_run_the_tail_of_training_is_held_out(folder: Path) -> None:
    toml = folder / "pump.toml"
    toml.write_text(toml.read_text().replace('role = "calibrate"', 'role = "train"'))
    trained = train(folder)
    assert trained.exit_code == 0, trained.output
    assert "the last quarter of each train run was held out" in trained.output


def test_data_that_changed_since_training_is_not_judged(folder: Path) -> None:
    train(folder)
    with (folder / "fault.csv").open("a") as file:
        file.write("1700000060000,1,2,3,0\n")
    evaluated = stethos("model", "evaluate", folder / "run")
    assert (evaluated.exit_code, "has changed" in evaluated.output) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("model", "train", "absent.toml", "--window", 16, "--hop", 4, "--out", "x"), "cannot be read"),
        (("model", "evaluate", "absent"), "no readable training run"),
        (("model", "evaluate", "absent", "--false-alarms", "never"), "is no rate above zero"),
        (("model", "export", "absent", "--key", "absent.key", "--out", "x"), "absent.key: cannot be read"),
        (("bundle", "verify", "absent", "--key", "absent.pub"), "absent.pub: cannot be read"),
    ],
)
def test_bad_usage_exits_2_and_says_what_to_mend(arguments: tuple[object, ...], message: str) -> None:
    result = stethos(*arguments)
    assert (result.exit_code, message in result.output) == (2, True), result.output


def test_a_window_longer_than_the_data_is_refused(folder: Path) -> None:
    trained = train(folder, window=500)
    assert (trained.exit_code, "too few" in trained.output) == (2, True), trained.output


def test_an_untrusted_bundle_fails_verification(folder: Path) -> None:
    (folder / "foreign.stethos").write_bytes(tiny_bundle())
    verified = stethos("bundle", "verify", folder / "foreign.stethos", "--key", folder / "release.pub")
    assert (verified.exit_code, "no trusted key signed" in verified.output) == (1, True)
    assert "signature not checked" in stethos("bundle", "show", folder / "foreign.stethos").output


def test_keys_are_private_and_never_replaced(folder: Path) -> None:
    assert stat.S_IMODE((folder / "release.key").stat().st_mode) == 0o600
    before = (folder / "release.key").read_bytes()
    again = stethos("bundle", "keygen", folder / "release")
    assert (again.exit_code, "cannot be written" in again.output) == (2, True)
    assert (folder / "release.key").read_bytes() == before


@pytest.mark.parametrize("given", ["release.pub", "pump.toml"])
def test_a_file_that_is_no_private_key_is_refused(folder: Path, given: str) -> None:
    train(folder)
    exported = stethos("model", "export", folder / "run", "--key", folder / given, "--out", folder)
    assert (exported.exit_code, "private key" in exported.output) == (2, True)


def test_without_torch_the_commands_name_the_extra(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extra, "_NEEDED", ("torch_that_is_not_there",))
    trained = train(folder)
    assert (trained.exit_code, "install stethos[train]" in trained.output) == (2, True)


def test_operating_states_that_are_apart_are_found_calibrated_and_shipped(folder: Path) -> None:
    for file, read, write in (
        ("normal.csv", pa_csv.read_csv, pa_csv.write_csv),
        ("held_out.parquet", pq.read_table, pq.write_table),
        ("fault.csv", pa_csv.read_csv, pa_csv.write_csv),
    ):
        table = read(folder / file)
        load = np.arange(len(table)) // 100 % 2 * 100.0
        place = table.column_names.index("p")
        write(table.set_column(place, "p", pa.array(table["p"].to_numpy() + load)), folder / file)
    options = ("--model", "pca", "--window", 16, "--hop", 1, "--out", folder / "run", "--states")
    trained = stethos("model", "train", folder / "pump.toml", *options)
    assert trained.exit_code == 0, trained.output
    assert "2 operating states were found in training" in trained.output
    assert "windows are in no state, or between two" in trained.output
    assert stethos("model", "evaluate", folder / "run", "--false-alarms", "1 per hour").exit_code == 0
    shipped = stethos("model", "export", folder / "run", "--key", folder / "release.key", "--out", folder)
    assert shipped.exit_code == 0, shipped.output
    key = public_key((folder / "release.pub").read_bytes(), "pub")
    manifest = open_bundle((folder / "pump-1.0.0.stethos").read_bytes(), [key]).manifest
    assert [round(state.centre[0], -2) for state in manifest.states.known.states] == [0, 100]


def test_one_operating_state_is_said_to_be_one(folder: Path) -> None:
    options = ("--model", "pca", "--window", 16, "--hop", 4, "--out", folder / "run", "--states")
    trained = stethos("model", "train", folder / "pump.toml", *options)
    assert "no operating states that are apart were found" in trained.output
