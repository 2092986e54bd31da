"""The model chosen without labels: within the budget, the cheapest of the good, repeatable, and signed on request."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.errors import ConfigError
from agent.infer.bundle import open_bundle
from agent.infer.keys import public_key
from export import auto, data, dataset
from export.auto import Budget, Tried, choose, parse_budget
from export.label_free import LabelFree
from export.training_run import Settings
from tests.harness.command_line import stethos
from tests.harness.datasets import write_dataset

QUICK = (("pca", {}), ("mahalanobis", {}), ("zscore", {}))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(auto, "CANDIDATES", QUICK)
    write_dataset(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("", Budget()),
        ("1 ms", Budget(window_s=1e-3)),
        ("5 MB", Budget(graph_bytes=5e6)),
        ("250us, 64 KiB", Budget(window_s=2.5e-4, graph_bytes=65_536.0)),
        ("1.5 s,2GB", Budget(window_s=1.5, graph_bytes=2e9)),
    ],
)
def test_a_budget_is_read_as_written(text: str, budget: Budget) -> None:
    assert parse_budget(text) == budget


@pytest.mark.parametrize("text", ["5", "fast", "1 ms, 2 ms", "5 bananas", "-1 ms", "1 ms 5 MB"])
def test_what_is_no_budget_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no budget"):
        parse_budget(text)


def chosen(folder: Path, budget: Budget = Budget()) -> auto.Choice:  # noqa: B008 - a frozen value
    source = dataset.load(folder / "pump.toml")
    return choose(source, data.read(source), budget, windows=(16,), epochs=1)


def test_every_candidate_is_judged_on_windows_it_has_not_seen_and_one_is_chosen_with_a_reason(folder: Path) -> None:
    choice = chosen(folder)
    assert [each.settings.family for each in choice.tried] == ["pca", "mahalanobis", "zscore"]
    assert all(0.5 < each.found.auc <= 1.0 and each.window_s > 0 and each.graph_bytes > 0 for each in choice.tried)
    top = max(each.found.value for each in choice.tried)
    assert choice.best.found.value >= top - 0.01
    assert choice.why.startswith(choice.best.settings.family)


def test_the_same_seed_judges_alike(folder: Path) -> None:
    assert [each.found for each in chosen(folder).tried] == [each.found for each in chosen(folder).tried]


def test_what_breaks_the_budget_is_refused_and_not_judged(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"no candidate is left \(pca: .* is over the budget of 0.001 MB"):
        chosen(folder, Budget(graph_bytes=1_000))


def tried(family: str, auc: float, window_s: float) -> Tried:
    return Tried(Settings(family, 16, 4, 0, 1), LabelFree(auc, 0.0), window_s, 10_000)


def test_of_those_about_as_good_the_cheapest_is_chosen() -> None:
    best = auto._best([tried("slow", 0.95, 1e-3), tried("quick", 0.945, 1e-4), tried("worse", 0.90, 1e-5)])
    assert best.settings.family == "quick"


def test_too_little_data_to_choose_by_is_said_with_the_counts(folder: Path) -> None:
    rows = (folder / "normal.csv").read_text().splitlines()
    (folder / "normal.csv").write_text("\n".join(rows[:260]) + "\n")
    source = dataset.load(folder / "pump.toml")
    with pytest.raises(ConfigError, match="too few known windows to choose by"):
        choose(source, data.read(source), Budget())


def test_the_command_trains_the_chosen_model_and_signs_it(folder: Path) -> None:
    keys = stethos("bundle", "keygen", folder / "release")
    assert keys.exit_code == 0, keys.output
    arguments = ["model", "auto", str(folder / "pump.toml"), "--out", str(folder / "run"), "--window", "16"]
    result = stethos(*arguments, "--key", folder / "release.key", "--json")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert {each["family"] for each in answer["tried"]} == {"pca", "mahalanobis", "zscore"}
    assert json.loads((folder / "run" / "run.json").read_text())["family"] == answer["chosen"]["family"]
    trusted = public_key((folder / "release.pub").read_bytes(), "release.pub")
    assert (
        open_bundle(Path(answer["bundle"]).read_bytes(), [trusted]).manifest.model.family == answer["chosen"]["family"]
    )
