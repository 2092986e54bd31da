"""`stethos model compare` and `report` on a tiny data set: same windows or refused, and files that hold what was judged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from export import rundir
from export.report import cost
from export.report.page import LONGEST_BYTES
from tests.harness.command_line import stethos
from tests.harness.datasets import write_dataset


def train(folder: Path, out: str, family: str, window: int = 16, hop: int = 4) -> Path:
    options = ("--model", family, "--window", window, "--hop", hop, "--out", folder / out, "--epochs", 2)
    trained = stethos("model", "train", folder / "pump.toml", *options)
    assert trained.exit_code == 0, trained.output
    return folder / out


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compare")
    write_dataset(folder)
    train(folder, "pca", "pca")
    train(folder, "net", "conv-autoencoder")
    train(folder, "long", "pca", window=32)
    return folder


def test_models_are_held_against_the_first(folder: Path) -> None:
    compared = stethos("model", "compare", folder / "pca", folder / "net", "--false-alarms", "60 per hour", "--json")
    assert compared.exit_code == 0, compared.output
    found = json.loads(compared.stdout)
    first, second = found["models"]
    assert (first["family"], first["differences"], second["family"]) == ("pca", {}, "conv-autoencoder")
    for name, difference in second["differences"].items():
        own, other = (each["judgement"]["metrics"][name] for each in (second, first))
        assert difference["value"] == pytest.approx(own - other)
    low, high = second["differences"]["false_alarm_rate"]["interval"]
    assert low <= second["differences"]["false_alarm_rate"]["value"] <= high
    assert "no point adjustment" in found["protocol"]


def test_a_model_does_not_differ_from_itself(folder: Path) -> None:
    found = json.loads(stethos("model", "compare", folder / "pca", folder / "pca", "--json").stdout)
    for difference in found["models"][1]["differences"].values():
        assert difference["value"] == 0
        assert difference["interval"] in (None, [0, 0])


def test_windows_of_other_lengths_are_compared_where_they_end_together(folder: Path) -> None:
    found = json.loads(stethos("model", "compare", folder / "pca", folder / "long", "--json").stdout)
    alone = json.loads(stethos("model", "evaluate", folder / "long", "--json").stdout)
    assert found["windows"] == alone["metrics"]["windows"], "the longer window's all have a partner"
    assert found["models"][1]["judgement"]["metrics"] == pytest.approx(alone["metrics"])


def test_people_can_read_it(folder: Path) -> None:
    compared = stethos("model", "compare", folder / "pca", folder / "net")
    assert compared.exit_code == 0, compared.output
    assert "common windows, at most 1 per week" in compared.output
    assert "Protocol: causal" in compared.output


def test_what_is_not_alike_is_refused(folder: Path, tmp_path: Path) -> None:
    write_dataset(tmp_path)
    with (tmp_path / "normal.csv").open("a") as file:
        file.write("1700000060000,5,35,2.2,0\n")
    other = train(tmp_path, "other", "pca")
    sparse = train(folder, "sparse", "pca", hop=8)
    for strange, message in (
        (other, "was not trained on the data of"),
        (sparse, "another grid"),
    ):
        compared = stethos("model", "compare", folder / "pca", strange)
        assert (compared.exit_code, message in " ".join(compared.output.split())) == (2, True), compared.output


def test_test_runs_shorter_than_a_window_cannot_be_judged(tmp_path: Path) -> None:
    write_dataset(tmp_path)
    lines = (tmp_path / "fault.csv").read_text().splitlines(keepends=True)
    (tmp_path / "fault.csv").write_text("".join(lines[:12]))
    judged = stethos("model", "evaluate", train(tmp_path, "run", "pca"))
    assert (judged.exit_code, "no window of 16 cells is known" in judged.output) == (2, True), judged.output


def test_one_run_is_nothing_to_compare(folder: Path) -> None:
    assert "two run folders or more" in stethos("model", "compare", folder / "pca").output


def test_the_report_is_one_file_without_a_reference_to_another(folder: Path, tmp_path: Path) -> None:
    reported = stethos("model", "report", folder / "pca", "--out", tmp_path / "pca.html")
    assert reported.exit_code == 0, reported.output
    text = (tmp_path / "pca.html").read_text()
    assert len(text) < LONGEST_BYTES
    assert "http" not in text.replace("http-equiv", "")
    assert "<script" not in text
    assert "fitted at once, without epochs" in text


def test_a_report_can_be_made_without_labels(tmp_path: Path) -> None:
    toml = write_dataset(tmp_path)
    toml.write_text(toml.read_text().replace('label = "fault"', ""))
    reported = stethos("model", "report", train(tmp_path, "run", "pca"))
    assert reported.exit_code == 0, reported.output
    assert "do not hold both normal and anomalous windows" in (tmp_path / "run" / "report.html").read_text()


def test_a_report_that_cannot_be_written_says_so(folder: Path, tmp_path: Path) -> None:
    reported = stethos("model", "report", folder / "pca", "--out", tmp_path / "absent" / "pca.html")
    assert (reported.exit_code, "cannot be written" in reported.output) == (2, True)


def test_the_cost_counts_what_a_layer_must_do(folder: Path) -> None:
    run = rundir.load(folder / "pca")
    assert cost.flops(run.model, run.samples) == 2 * 3 * 3 * 16, "one 3 by 3 matrix on 16 cells"
    found = cost.measure(run)
    assert found.parameters == sum(tensor.numel() for tensor in run.model.state_dict().values())
    assert found.onnx_bytes < found.bundle_bytes
    assert found.windows_per_s > 0
