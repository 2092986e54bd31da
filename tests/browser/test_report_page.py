"""The report in a real browser: it needs nothing else, complains of nothing, and shows what `evaluate` found."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import Result

from tests.harness import command_line
from tests.harness.chromium import CHROMIUM, Page
from tests.harness.datasets import FAULT_FROM_ROW, write_dataset

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")

SECTIONS = ("judgement", "data", "training", "curves", "runs", "channels", "errors", "cost")
BUDGET = ("--false-alarms", "300 per hour")


def stethos(*arguments: object) -> Result:
    result = command_line.stethos(*arguments)
    assert result.exit_code == 0, result.output
    return result


def label_too_early(path: Path) -> None:
    """Call some normal rows faulty, so that the model misses them."""
    with path.open() as file:
        rows = list(csv.reader(file))
    for row in rows[FAULT_FROM_ROW - 60 : FAULT_FROM_ROW]:
        row[-1] = "1"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    toml = write_dataset(folder)
    label_too_early(folder / "fault.csv")
    toml.write_text(toml.read_text().replace('name = "pump"', 'name = "pump <script>console.log(1)</script>"'))
    options = ("--model", "conv-autoencoder", "--window", 16, "--hop", 4, "--out", folder / "run", "--epochs", 4)
    stethos("model", "train", toml, *options)
    stethos("model", "report", folder / "run", *BUDGET)
    return folder / "run"


@pytest.fixture(scope="module")
def page(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with Page(tmp_path_factory.mktemp("profile")) as page:
        page.open((run / "report.html").as_uri())
        yield page


def test_it_asks_for_nothing_but_itself_and_complains_of_nothing(run: Path, page: Page) -> None:
    assert page.complaints == []
    assert [url for url in page.requests if not url.startswith("data:")] == [(run / "report.html").as_uri()]


def test_every_section_is_there_and_every_drawing_has_a_size(page: Page) -> None:
    assert page.evaluate("[...document.querySelectorAll('h2')].map(each => each.id)") == list(SECTIONS)
    empty = "[...document.querySelectorAll('svg')].filter(each => each.getBoundingClientRect().height < 50).length"
    assert page.evaluate(empty) == 0
    assert page.evaluate("document.querySelectorAll('svg').length") >= 6
    assert page.evaluate("document.querySelectorAll('.line').length") >= 6
    assert page.evaluate("document.documentElement.outerHTML.includes('NaN')") is False


def test_false_alarms_and_misses_are_drawn(page: Page) -> None:
    text = page.evaluate("document.body.innerText")
    assert "No normal window was flagged" not in text
    assert "No anomalous window went unflagged" not in text
    assert "times its usual level" in text


def test_the_figures_are_those_of_evaluate(run: Path, page: Page) -> None:
    judged = json.loads(stethos("model", "evaluate", run, *BUDGET, "--json").stdout)
    shown = page.evaluate(
        "Object.fromEntries([...document.querySelectorAll('[data-metric]')].map(e => [e.dataset.metric, +e.dataset.value]))"
    )
    assert shown == pytest.approx(judged["metrics"], rel=1e-12)
    assert judged["protocol"][1:] in page.evaluate("document.querySelector('#judgement + p').textContent")


def test_a_name_is_text_and_never_markup(page: Page) -> None:
    assert "<script>" in page.evaluate("document.querySelector('h1').textContent")
    assert page.evaluate("document.scripts.length") == 0


def test_it_follows_the_desktop_into_the_dark(page: Page) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    page.prefer("light")
    light = page.evaluate(background)
    page.prefer("dark")
    assert (light, page.evaluate(background)) == ("rgb(255, 255, 255)", "rgb(20, 23, 27)")


def test_it_fits_a_laptop_without_scrolling_sideways(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth") is True
