"""The tables in the documentation show docs/figures.json, and a stale table is an error."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "figures"
PAGE = "# Title\n\n<!-- figures: pipeline -->\n<!-- /figures -->\n\nafter\n"


def figure(**changes):
    entry = {
        "name": "pipeline.100_streams",
        "value": 12345.678,
        "unit": "windows/s",
        "against": 13000,
        "goal": ">= 0.8",
        "command": "make bench ONLY=pipeline",
        "measured": "2026-01-31",
        "host": "two cores",
    }
    return {**entry, **changes}


@pytest.fixture
def project(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text(PAGE)
    (tmp_path / "docs" / "figures.json").write_text("[]")
    return tmp_path


def run(project, *arguments):
    command = [sys.executable, str(SCRIPT), str(project), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


def test_a_group_without_figures_says_that_nothing_was_measured(project):
    assert run(project).returncode == 0
    assert "Not measured yet." in (project / "README.md").read_text()


def test_figures_of_the_named_group_are_shown_and_text_around_is_kept(project):
    other = figure(name="mqtt_in.json", value=7)
    (project / "docs" / "figures.json").write_text(json.dumps([figure(), other]))
    run(project)
    page = (project / "README.md").read_text()
    assert "| `pipeline.100_streams` | 12,350 windows/s | 13,000 | >= 0.8 |" in page
    assert "mqtt_in" not in page
    assert page.startswith("# Title\n\n<!-- figures")
    assert page.endswith("<!-- /figures -->\n\nafter\n")


def test_zero_is_a_value(project):
    (project / "docs" / "figures.json").write_text(json.dumps([figure(value=0, against=None)]))
    run(project)
    assert "| 0 windows/s |  | >= 0.8 |" in (project / "README.md").read_text()


def test_check_fails_on_a_stale_table_and_leaves_it(project):
    run(project)
    (project / "docs" / "figures.json").write_text(json.dumps([figure()]))
    before = (project / "README.md").read_text()
    checked = run(project, "--check")
    assert checked.returncode == 1
    assert "README.md" in checked.stdout
    assert (project / "README.md").read_text() == before
    run(project)
    assert run(project, "--check").returncode == 0


@pytest.mark.parametrize(
    ("entries", "complaint"),
    [
        ([{key: value for key, value in figure().items() if key != "host"}], "host"),
        ([figure(colour="red")], "colour"),
        ([figure(), figure()], "more than once"),
    ],
)
def test_an_entry_that_breaks_the_schema_is_named(project, entries, complaint):
    (project / "docs" / "figures.json").write_text(json.dumps(entries))
    done = run(project)
    assert done.returncode == 1
    assert complaint in done.stderr
