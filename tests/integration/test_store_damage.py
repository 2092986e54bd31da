"""Damaged records of the store: one is mended from its copy at the start, and one that cannot be costs the other bundles nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.bundles.store import Untold, running_store
from agent.bundles.twice import COPY, DAMAGED
from agent.errors import BundleError
from tests.harness.box import Box, bundle
from tests.harness.broker import wait_until

RECORD = "state/bundles/pump.json"


@pytest.mark.parametrize("damage", [b"", b'{"document"', bytes(300)], ids=["empty", "torn", "no JSON"])
def test_a_damaged_record_is_mended_and_its_machines_are_watched_as_before(tmp_path: Path, damage: bytes) -> None:
    box = Box(tmp_path)
    record = tmp_path / RECORD
    sound = record.read_bytes()
    record.write_bytes(damage)
    with box.running() as running:
        assert running.report.running.version == "1.0"
        wait_until(lambda: "pump.json was damaged" in str(running.bundles.rollout.status.reasons), 10, "a reason")
    assert record.read_bytes() == sound
    assert record.with_name(f"pump.json{DAMAGED}").read_bytes() == damage


def test_a_record_that_nobody_can_read_costs_the_other_bundles_nothing(tmp_path: Path) -> None:
    box = Box(tmp_path)
    for name in ("other.json", f"other.json{COPY}"):
        (tmp_path / "state" / "bundles" / name).write_bytes(b"{")
    with box.running() as running:
        assert "install the bundle again" in str(running.bundles.rollout.status.reasons)
        assert running.ask("bundle.install", file=str(box.file(bundle(2)))).other.version == "2.0"
        assert running.ask("bundle.activate", bundle="pump").running.version == "2.0"


def test_news_that_cannot_be_read_is_lost_and_keeps_nothing_else_from_being_told(tmp_path: Path) -> None:
    box = Box(tmp_path)
    for name in ("untold.list", f"untold.list{COPY}"):
        (tmp_path / "state" / "bundles" / name).write_bytes(b"[[")
    with running_store(tmp_path / "state", 3) as store:
        assert store.untold() == []
        assert store.damaged() == ["untold.list"]
        store.note([Untold(event="bundle_installed", what="pump: 2.0 was installed")])
    with box.running() as running:
        wait_until(lambda: running.events == ["bundle_installed"], 10, "the news")


def test_a_record_of_another_bundle_is_damage(tmp_path: Path) -> None:
    box = Box(tmp_path)
    record = tmp_path / RECORD
    other = record.read_bytes()
    for name in ("fan.json", f"fan.json{COPY}"):
        record.with_name(name).write_bytes(other)
    with running_store(tmp_path / "state", 3) as store, pytest.raises(BundleError, match="is of 'pump'"):
        store.slots("fan")
    with box.running() as running:
        assert running.report.running.version == "1.0"
