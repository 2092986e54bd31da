"""SIGKILL and power cuts at every write: what a commit returned for is there, whole; a salvage cut short is begun anew."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.outbox_cuts import MOST_CALLS
from tests.harness.power_cut import run_with_cuts
from tests.harness.small_disk import memory_folder


@pytest.fixture
def folder() -> Iterator[Path]:
    with memory_folder() as folder:
        yield folder


def commits_cut_short(folder: Path, mode: str, synchronous: str) -> dict[str, int]:
    """Once at each of the changes that opening and some commits make."""
    module = "tests.harness.outbox_cuts"
    return json.loads(run_with_cuts(module, folder, folder, MOST_CALLS, mode, synchronous, timeout_s=280.0))


@pytest.mark.parametrize("mode", ["kill", "power"])
def test_no_commit_that_returned_is_lost_and_none_is_there_by_halves(folder: Path, mode: str) -> None:
    found = commits_cut_short(folder, mode, "FULL")
    assert found["cuts"] == MOST_CALLS
    assert (found["lost"], found["untold"], found["halves"]) == (0, 0, 0)
    assert found["commits"] > MOST_CALLS
    assert found["evicted"] > 0
    assert {"pwrite", "fdatasync"} <= set(found["cut_in"])


def test_the_power_cut_is_one_that_a_store_which_does_not_sync_fails(folder: Path) -> None:
    found = commits_cut_short(folder, "power", "NORMAL")
    assert found["lost"] > 0


@pytest.mark.parametrize("mode", ["kill", "power"])
def test_a_salvage_cut_short_anywhere_saves_the_same(folder: Path, mode: str) -> None:
    found = json.loads(run_with_cuts("tests.harness.salvage_cuts", folder, folder, mode, timeout_s=280.0))
    assert found["strange"] == 0
    assert found["changes"] > 50
    assert 100 < found["saved"] < 120
