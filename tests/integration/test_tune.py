"""The search for hyperparameters: repeatable, resumable, judged without labels on windows that training never saw."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pytest

from agent.errors import ConfigError
from export import data, dataset, devices, label_free
from export.tune import Search, Trial, Tuned, tune
from tests.harness.command_line import stethos
from tests.harness.datasets import write_dataset
from tests.harness.training import normal

SEARCH = Search("conv-autoencoder", windows=(8, 16), hops=(4,), seed=3, epochs=2, trials=4)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_dataset(tmp_path)
    return tmp_path


def search(folder: Path, study: str, asked: Search = SEARCH, told=lambda trial: None) -> Tuned:
    source = dataset.load(folder / "pump.toml")
    return tune(source, data.read(source), asked, folder / study, compute=devices.CPU, told=told)


def test_the_same_seed_finds_the_same_and_an_interrupted_search_goes_on_to_it(folder: Path) -> None:
    whole = search(folder, "whole.db")
    assert [trial.number for trial in whole.trials] == [0, 1, 2, 3]
    assert whole.best.value == max(trial.value for trial in whole.trials if trial.value is not None)
    assert {trial.params["window"] for trial in whole.trials} == {8, 16}
    search(folder, "parts.db", replace(SEARCH, trials=2))

    def cut_off(trial: Trial) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(folder, "parts.db", told=cut_off)
    assert search(folder, "parts.db").trials == whole.trials


def test_a_trial_whose_process_was_killed_is_tried_again(folder: Path) -> None:
    whole = search(folder, "whole.db", replace(SEARCH, trials=2))
    search(folder, "killed.db", replace(SEARCH, trials=1))
    optuna.load_study(study_name="stethos", storage=f"sqlite:///{folder / 'killed.db'}").ask()
    resumed = search(folder, "killed.db", replace(SEARCH, trials=2))
    assert [trial.number for trial in resumed.trials] == [0, 2]
    assert [(trial.params, trial.value) for trial in resumed.trials] == [
        (trial.params, trial.value) for trial in whole.trials
    ]


def test_trials_that_cannot_be_trained_say_why_and_are_not_chosen(folder: Path) -> None:
    found = search(folder, "study.db", replace(SEARCH, windows=(8, 500), trials=6))
    refused = [trial for trial in found.trials if trial.params["window"] == 500]
    assert refused
    assert all(trial.value is None and "too few" in trial.remark for trial in refused)
    assert found.settings.window == 8
    with pytest.raises(ConfigError, match=r"no trial succeeded.*too few"):
        search(folder, "none.db", replace(SEARCH, windows=(500,), trials=2))


def test_a_study_of_something_else_is_refused(folder: Path) -> None:
    search(folder, "study.db", replace(SEARCH, trials=1))
    with pytest.raises(ConfigError, match="is a study of"):
        search(folder, "study.db", replace(SEARCH, seed=4))
    (folder / "text.db").write_text("no database, and long enough to be read as one" * 100)
    with pytest.raises(ConfigError, match="is no study"):
        search(folder, "text.db")


def test_the_command_writes_a_run_of_the_best_that_can_be_judged(folder: Path) -> None:
    command = ["model", "tune", folder / "pump.toml", "--model", "pca", "--window", 8, "--window", 16, "--hop", 4]
    command += ["--trials", 3, "--study", folder / "study.db", "--out", folder / "run", "--json"]
    done = stethos(*command)
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    assert answer["best"]["value"] == max(trial["value"] for trial in answer["trials"])
    record = json.loads((folder / "run" / "run.json").read_text())
    assert record["contract"]["window"] == answer["best"]["params"]["window"]
    judged = stethos("model", "evaluate", folder / "run")
    assert judged.exit_code == 0, judged.output


def test_a_score_that_sees_anomalies_is_worth_more_than_one_that_drifts_or_guesses() -> None:
    run = normal(3, 32, n=200)
    mean, std = run.values.mean((0, 2))[:, None], run.values.std((0, 2))[:, None]

    def sees(windows: np.ndarray) -> np.ndarray:
        return np.abs((windows - mean) / std).max((1, 2))

    def drifts(windows: np.ndarray) -> np.ndarray:
        return sees(windows) + (np.linspace(0, 10, len(windows)) if len(windows) == len(run) else 0)

    def guesses(windows: np.ndarray) -> np.ndarray:
        return np.random.default_rng(len(windows)).random(len(windows))

    good, drifting, guessing = (label_free.judge(each, [run], 0) for each in (sees, drifts, guesses))
    assert good.value > 0.7
    assert drifting.spread > 3 * good.spread
    assert drifting.value < good.value
    assert guessing.auc == pytest.approx(0.5, abs=0.1)
    assert label_free.judge(sees, [run], 0) == good


def test_too_few_windows_to_judge_by_are_refused() -> None:
    with pytest.raises(ConfigError, match="left to judge a model by"):
        label_free.judge(lambda windows: windows[:, 0, 0], [normal(2, 8, n=5)], 0)


def test_a_prior_that_the_owner_states_is_not_searched(folder: Path) -> None:
    toml = folder / "pump.toml"
    toml.write_text(toml.read_text() + '[[run]]\nfile = "fault.csv"\nrole = "train"\nlabel = "fault"\n')
    found = search(folder, "stated.db", replace(SEARCH, family="fault-classifier", trials=2))
    assert {*found.best.params} == {"window", "hop", "segments"}
