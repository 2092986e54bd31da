"""The metrics' file: whole at every moment, readable by the collector, and where it cannot be written nothing stops."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from agent.exposition import textfile as textfile_module
from agent.exposition.textfile import Textfile
from tests.e2e.plant import Plant
from tests.harness.broker import wait_until
from tests.harness.small_disk import small_disk
from tests.harness.threads import at_work


def test_the_newest_text_is_in_the_file_and_others_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "stethos.prom"
    textfile = Textfile(path)
    umask = os.umask(0o077)
    try:
        for number in range(3):
            textfile.offer(b"x %d\n" % number)
        with at_work(textfile.run):
            wait_until(path.exists, 30, "the file")
    finally:
        os.umask(umask)
    assert path.read_bytes() == b"x 2\n"
    assert path.stat().st_mode & 0o777 == 0o644
    assert (textfile.error, textfile.counters.snapshot()) == (None, {"written": 1})
    assert list(tmp_path.iterdir()) == [path]


def test_what_waits_at_the_stop_is_written_still(tmp_path: Path) -> None:
    textfile, stop = Textfile(tmp_path / "stethos.prom"), threading.Event()
    textfile.offer(b"last\n")
    stop.set()
    textfile.run(stop)
    assert (tmp_path / "stethos.prom").read_bytes() == b"last\n"


def test_a_reader_sees_whole_texts_only(tmp_path: Path) -> None:
    path = tmp_path / "stethos.prom"
    textfile = Textfile(path)
    texts = {bytes([letter]) * 100_000 for letter in b"abcdef"}
    with at_work(textfile.run):
        for text in sorted(texts) * 20:
            textfile.offer(text)
            if path.exists():
                assert path.read_bytes() in texts


def test_a_folder_that_is_missing_is_told_until_it_is_there(tmp_path: Path) -> None:
    textfile = Textfile(tmp_path / "later" / "stethos.prom")
    with at_work(textfile.run):
        textfile.offer(b"1\n")
        wait_until(lambda: textfile.error is not None, 30, "the error")
        assert "later/stethos.prom: No such file or directory" in str(textfile.error)
        (tmp_path / "later").mkdir()
        textfile.offer(b"2\n")
        wait_until(lambda: textfile.error is None, 30, "no error")
    assert textfile.counters.snapshot() == {"failed": 1, "written": 1}


def test_a_full_disk_leaves_the_last_whole_text_and_no_rubbish(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1) as disk:
        textfile = Textfile(disk / "stethos.prom")
        with at_work(textfile.run):
            textfile.offer(b"good\n")
            wait_until(lambda: textfile.counters["written"] == 1, 30, "the first text")
            textfile.offer(b"x" * 2_000_000)
            wait_until(lambda: textfile.error is not None, 30, "the error")
        assert "No space left" in str(textfile.error)
        assert [(path.name, path.read_bytes()) for path in disk.iterdir()] == [("stethos.prom", b"good\n")]


def test_a_text_without_bound_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(textfile_module, "MAX_BYTES", 10)
    textfile = Textfile(tmp_path / "stethos.prom")
    with at_work(textfile.run):
        textfile.offer(b"x" * 11)
        wait_until(lambda: textfile.error is not None, 30, "the refusal")
    assert "11 bytes of metrics" in str(textfile.error)
    assert list(tmp_path.iterdir()) == []


def test_a_link_in_the_place_of_the_unfinished_file_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "stethos.prom.tmp").symlink_to(victim)
    textfile = Textfile(tmp_path / "stethos.prom")
    with at_work(textfile.run):
        textfile.offer(b"x\n")
        wait_until(lambda: textfile.error is not None, 30, "the refusal")
    assert victim.read_text() == "precious"


def test_the_daemon_writes_what_its_health_says_and_outlives_a_folder_that_is_gone(tmp_path: Path) -> None:
    with Plant(tmp_path) as plant, plant.consumer() as consumer:
        folder = tmp_path / "collector"
        config = plant.daemon.config
        config.write_text(config.read_text() + '[metrics]\ntextfile = "collector/stethos.prom"\n')
        plant.start(consumer)
        own = "stethos/line-3/health"
        consumer.wait_for(lambda seen: any(m.topic == own and b"stethos.prom" in m.payload for m in seen))
        folder.mkdir()
        plant.accel(5)
        wait_until(lambda: _frames(folder / "stethos.prom") == 500, 30, "every frame in the metrics")
        assert plant.daemon.terminate() == 0, plant.daemon.log
        wait_until(
            lambda: json.loads(consumer.payloads(own)[-1])["counters"].get("metrics_written", 0) >= 1,
            30,
            "its counters",
        )
        assert not list(folder.glob("*.tmp"))


def _frames(path: Path) -> float | None:
    if not path.exists():
        return None
    for family in text_string_to_metric_families(path.read_text()):
        for sample in family.samples:
            if sample.name == "stethos_device_frames_total" and sample.labels == {"device": "accel"}:
                return float(sample.value)
    return None
