"""What the pages of promises and of security claim is held to: each test that they name exists, and each parser that is fuzzed is in their table."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.fuzz.parsers import PARSERS

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "SECURITY.md", ROOT / "docs" / "security.md", ROOT / "docs" / "promises.md"]
NAMED = re.compile(r"`(tests/[a-z0-9_/]+\.py)::(test_[a-z0-9_]+)`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_that_is_named_exists(page: Path) -> None:
    named = NAMED.findall(page.read_text())
    assert page.name == "SECURITY.md" or len(named) > 25
    missing = [f"{file}::{name}" for file, name in named if f"def {name}(" not in _text(ROOT / file)]
    assert missing == []


def _text(file: Path) -> str:
    return file.read_text() if file.exists() else ""


def test_every_parser_that_is_fuzzed_has_its_row() -> None:
    table = PAGES[1].read_text().partition("## Every parser of outside bytes")[2].partition("\n## ")[0]
    targets = set(
        re.findall(r"`([a-z-]+)`", "".join(row.split("|")[3] for row in table.splitlines() if row.startswith("| ")))
    )
    assert set(PARSERS) <= targets


def test_every_requirement_has_a_verdict_and_a_sentence() -> None:
    rows = re.findall(
        r"^\| ((?:CR|NDR|SAR|EDR|[56])[ ./\d][^|]*)\|([^|]*)\|([^|]*)\|$", PAGES[1].read_text(), re.MULTILINE
    )
    assert len(rows) > 80
    for name, verdict, how in rows:
        assert verdict.strip() in {"met", "partly", "not", "n/a"}, name
        assert how.strip().endswith("."), name
