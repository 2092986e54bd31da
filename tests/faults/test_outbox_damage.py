"""A damaged outbox: moved aside, what can be read is saved, and the agent starts and says so."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from agent.clock import FakeClock
from agent.outbox.database import DamagedOutboxError
from agent.outbox.offline import examine
from agent.outbox.store import Outbox
from agent.types import Kind
from tests.harness.outbox import a_message, open_outbox
from tests.harness.small_disk import memory_folder

PAGE = 4096
LOG_HEADER, FRAME_HEADER = 32, 24
FRAME = FRAME_HEADER + PAGE
OPEN_AND_MEASURE = """
import sys
from pathlib import Path
from tests.harness.outbox import open_outbox
def peak_bytes():
    return 1024 * int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
before = peak_bytes()
outbox = open_outbox(Path(sys.argv[1]), 200_000_000)
print(outbox.recovered.saved, peak_bytes() - before)
"""


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In memory: these tests open hundreds of files, each with its syncs."""
    with memory_folder() as folder:
        yield folder


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


def filled(path: Path, count: int = 200) -> None:
    outbox = open_outbox(path, 10_000_000)
    outbox.commit([a_message(f"m{i}", size_bytes=800) for i in range(count)], {"alarm/pump-1": b"snapshot"})
    outbox.close()


def overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def keys(outbox: Outbox) -> list[str]:
    return [row.message.key for row in outbox.next_rows(1000)]


def test_no_database_at_all_is_moved_aside(path: Path) -> None:
    path.write_bytes(b"not a database, but long enough to be looked at" * 100)
    outbox = open_outbox(path)
    assert outbox.recovered is not None
    assert outbox.recovered.saved == 0
    assert outbox.recovered.moved_to.read_bytes().startswith(b"not a database")
    outbox.commit([a_message("a")])
    assert keys(outbox) == ["a"]


def test_rows_on_both_sides_of_the_damage_are_saved_with_the_state(path: Path) -> None:
    filled(path)
    overwrite(path, (path.stat().st_size // PAGE // 2) * PAGE, b"\xff" * PAGE)
    outbox = open_outbox(path)
    assert outbox.recovered is not None
    saved = keys(outbox)
    assert outbox.recovered.saved == len(saved)
    assert 195 <= len(saved) < 200
    assert saved == sorted(saved, key=lambda key: int(key[1:]))
    assert {"m0", "m199"} <= set(saved)
    assert outbox.load_state() == {"alarm/pump-1": b"snapshot"}
    outbox.close()
    assert open_outbox(path).recovered is None


def test_a_truncated_file_loses_no_more_than_its_tail(path: Path) -> None:
    filled(path)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2 // PAGE * PAGE)
    outbox = open_outbox(path)
    assert outbox.recovered is not None
    outbox.commit([a_message("later", Kind.SUMMARY)])
    assert keys(outbox)[-1] == "later"


def log_of_commits(folder: Path, count: int) -> tuple[bytes, bytes, list[int]]:
    """The file and the log of `count` commits of three messages each, none of them in the file yet, and the log's size after each."""
    path = folder / "outbox.db"
    outbox = open_outbox(path)
    outbox._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    sizes = []
    for number in range(count):
        outbox.commit([a_message(f"{number}/{part}", size_bytes=1500) for part in range(3)], {"number": b"%d" % number})
        sizes.append((folder / "outbox.db-wal").stat().st_size)
    file, log = path.read_bytes(), (folder / "outbox.db-wal").read_bytes()
    outbox.close()
    assert sizes == sorted(set(sizes))
    return file, log, sizes


def reopened(folder: Path, file: bytes, log: bytes) -> tuple[list[str], dict[str, bytes]]:
    (folder / "torn.db").write_bytes(file)
    (folder / "torn.db-wal").write_bytes(log)
    outbox = open_outbox(folder / "torn.db")
    assert outbox.recovered is None
    found = keys(outbox), outbox.load_state()
    outbox.close()
    return found


def first(commits: int) -> tuple[list[str], dict[str, bytes]]:
    state = {"number": b"%d" % (commits - 1)} if commits else {}
    return [f"{number}/{part}" for number in range(commits) for part in range(3)], state


def test_a_log_cut_at_every_frame_and_inside_frames_costs_the_commits_behind_the_cut_alone(tmp_path: Path) -> None:
    file, log, sizes = log_of_commits(tmp_path, 4)
    frames = range(LOG_HEADER, len(log), FRAME)
    for cut in [0, 7, *(at + inside for at in frames for inside in (0, 11, FRAME_HEADER, 2000, FRAME - 1))]:
        whole = sum(size <= cut for size in sizes)
        assert reopened(tmp_path, file, log[:cut]) == first(whole), f"cut at byte {cut}"


def test_a_log_with_a_sector_that_was_never_written_costs_the_commits_from_there_on_alone(tmp_path: Path) -> None:
    file, log, sizes = log_of_commits(tmp_path, 4)
    for at in range(0, len(log), 3 * 512):
        whole = sum(size <= at for size in sizes)
        torn = log[:at] + bytes(512) + log[at + 512 :]
        unchanged = torn == log
        assert reopened(tmp_path, file, torn) == first(4 if unchanged else whole), f"sector at byte {at}"


def flipped(data: bytes) -> bytes:
    return bytes(byte ^ 0xFF for byte in data)


def test_whichever_page_is_flipped_the_agent_starts_with_nothing_invented(path: Path) -> None:
    outbox = open_outbox(path, 10_000_000)
    messages = [a_message(f"m{i}", Kind(i % 3), size_bytes=20_000 if i % 40 == 7 else 800) for i in range(120)]
    outbox.commit(messages, {"alarm/pump-1": b"snapshot"}, journal=[b'{"kind":"note"}'] * 50)
    outbox.close()
    sound = path.read_bytes()
    pages = len(sound) // PAGE
    costs = []
    for page in range(pages):
        data = bytearray(sound)
        data[page * PAGE : page * PAGE + PAGE] = flipped(data[page * PAGE : page * PAGE + PAGE])
        path.write_bytes(data)
        outbox = open_outbox(path, 10_000_000)
        there = [row.message for row in outbox.next_rows(1000)]
        assert all(message in messages for message in there), f"page {page}"
        assert len({message.key for message in there}) == len(there)
        assert outbox.balance().missing == 0
        outbox.commit([a_message("later")])
        assert "later" in keys(outbox)
        assert outbox.recovered is not None or len(there) == len(messages), f"page {page}"
        costs.append(len(messages) - len(there))
        outbox.close()
    # The root of the table costs everything, another page at most the rows on it; the first page has none.
    assert sum(cost > 4 for cost in costs) <= 1
    assert costs[0] == 0


def test_whichever_bit_is_flipped_what_is_sent_is_as_it_was_written(path: Path) -> None:
    outbox = open_outbox(path, 10_000_000)
    outbox.commit([a_message(f"m{i}", Kind(i % 3), size_bytes=300) for i in range(120)], {"alarm/pump-1": b"snapshot"})
    in_order = [row.message for row in outbox.next_rows(1000)]
    outbox.close()
    sound = path.read_bytes()
    found = 0
    for bit in Random(1).sample(range(8 * len(sound)), 150):
        data = bytearray(sound)
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        outbox = open_outbox(path, 10_000_000)
        there = [row.message for row in outbox.next_rows(1000)]
        assert all(message in in_order for message in there), f"bit {bit}"
        assert len(there) == len({message.key for message in there}) > 110
        assert outbox.recovered is not None or (
            there == in_order and outbox.load_state() == {"alarm/pump-1": b"snapshot"}
        )
        found += outbox.recovered is not None
        outbox.close()
    assert found > 50  # the others lie where nothing is kept


@pytest.mark.parametrize("bit", range(64))
def test_a_flipped_bit_in_the_formats_number_is_damage_and_not_a_newer_stethos(path: Path, bit: int) -> None:
    """Of both places in the header that tell it (SQLite's file format, 1.3): nothing is lost, and the agent starts."""
    filled(path, 5)
    data = bytearray(path.read_bytes())
    data[(60 if bit < 32 else 68) + bit % 32 // 8] ^= 1 << bit % 8
    path.write_bytes(data)
    told = examine(path)
    assert "the format is not as it was written" in told.problems[0]
    assert told.messages == 5
    outbox = open_outbox(path)
    assert outbox.recovered is not None
    assert "the format is not as it was written" in outbox.recovered.reason
    assert keys(outbox) == [f"m{n}" for n in range(5)]
    assert outbox.load_state() == {"alarm/pump-1": b"snapshot"}
    outbox.close()
    assert open_outbox(path).recovered is None


def test_a_file_whose_format_was_told_once_is_told_twice_from_now_on(path: Path) -> None:
    filled(path, 3)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA application_id = 0")
    outbox = open_outbox(path)
    assert (outbox.recovered, keys(outbox)) == (None, ["m0", "m1", "m2"])
    outbox.close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA application_id").fetchone()[0] == int.from_bytes(b"STE\3")


def flip_a_bit_behind(path: Path, text: bytes) -> None:
    data = bytearray(path.read_bytes())
    data[data.index(text) + len(text) + 3] ^= 1
    path.write_bytes(data)


def test_one_flipped_bit_in_a_message_costs_that_message_alone(path: Path) -> None:
    filled(path, 20)
    flip_a_bit_behind(path, b"m13.")
    outbox = open_outbox(path)
    assert outbox.recovered is not None
    assert "1 rows are not as they were written" in outbox.recovered.reason
    assert keys(outbox) == [f"m{n}" for n in range(20) if n != 13]


def test_one_flipped_bit_in_a_state_costs_that_state_alone(path: Path) -> None:
    outbox = open_outbox(path)
    outbox.commit([a_message("a")], {"alarm/pump-1": b"snapshot", "alarm/pump-2": b"other"})
    outbox.close()
    flip_a_bit_behind(path, b"snap")
    assert open_outbox(path).load_state() == {"alarm/pump-2": b"other"}


def test_a_message_altered_while_the_agent_runs_is_not_sent(path: Path) -> None:
    filled(path, 5000)  # more than SQLite keeps in memory
    outbox = open_outbox(path, 10_000_000)
    flip_a_bit_behind(path, b"m7.")
    with pytest.raises(DamagedOutboxError, match="m7 is not as it was written"):
        outbox.next_rows(5000)
    outbox.close()
    assert "m7" not in {row.message.key for row in open_outbox(path, 10_000_000).next_rows(5000)}


def test_a_file_of_an_older_stethos_has_no_digests_and_is_taken_as_it_is(path: Path) -> None:
    filled(path, 10)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("ALTER TABLE message DROP COLUMN digest")
        connection.execute("ALTER TABLE state DROP COLUMN digest")
    older = path.read_bytes()
    outbox = open_outbox(path)
    assert outbox.recovered is None
    outbox.commit([a_message("new")])
    assert keys(outbox) == [*(f"m{n}" for n in range(10)), "new"]
    outbox.close()
    path.write_bytes(older)
    overwrite(path, path.stat().st_size - PAGE, b"\xff" * PAGE)
    assert {"m0", "m3"} <= set(keys(open_outbox(path)))


def test_several_damaged_places_cost_the_rows_on_them_alone(path: Path) -> None:
    filled(path, 1000)
    for page in (40, 41, 90, 150):
        overwrite(path, page * PAGE, b"\xff" * PAGE)
    outbox = open_outbox(path, 10_000_000)
    assert outbox.recovered is not None
    assert 980 <= outbox.recovered.saved < 1000
    assert {"m0", "m500", "m999"} <= set(keys(outbox))


def test_what_was_acknowledged_late_for_a_row_of_the_damaged_file_is_that_message(path: Path) -> None:
    outbox = open_outbox(path, 10_000_000)
    outbox.commit([a_message(f"m{i}", size_bytes=800) for i in range(200)])
    in_flight = outbox.next_rows(200)
    outbox.close()
    overwrite(path, 20 * PAGE, b"\xff" * PAGE)
    outbox = open_outbox(path, 10_000_000)
    saved = {row.id: row.message.key for row in outbox.next_rows(200)}
    assert 190 < len(saved) < 200
    assert saved.items() <= {row.id: row.message.key for row in in_flight}.items()
    outbox.commit([a_message("new")])
    assert max(row.id for row in outbox.next_rows(300)) > max(row.id for row in in_flight)


def test_the_salvage_of_a_large_file_needs_little_memory(path: Path) -> None:
    outbox = open_outbox(path, 200_000_000)
    for number in range(40):
        outbox.commit([a_message(f"{number}/{part}", Kind.SUMMARY, 100_000) for part in range(20)])
    outbox.close()
    overwrite(path, 60 * PAGE, b"\xff" * PAGE)
    peak = subprocess.run([sys.executable, "-c", OPEN_AND_MEASURE, path], capture_output=True, text=True, check=True)
    saved, grown_bytes = map(int, peak.stdout.split())
    assert 750 < saved < 800
    assert grown_bytes < 40_000_000


def test_a_kind_that_does_not_exist_is_damage_and_costs_that_row_alone(path: Path) -> None:
    filled(path, 10)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute("UPDATE message SET kind = 9 WHERE key = 'm4'")
    outbox = open_outbox(path)
    assert outbox.recovered is not None
    assert keys(outbox) == [f"m{n}" for n in range(10) if n != 4]


def test_a_gap_record_that_cannot_be_read_does_not_keep_the_agent_from_starting(path: Path) -> None:
    filled(path, 1)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("INSERT INTO state (name, value) VALUES ('outbox.gap', x'ff')")
    assert keys(open_outbox(path)) == ["m0"]


def test_only_the_newest_damaged_files_are_kept(path: Path) -> None:
    clock = FakeClock()
    for _ in range(5):
        path.write_bytes(b"rubbish " * 1000)
        open_outbox(path, clock=clock).close()
        clock.advance(1_000_000_000)
    assert len(list(path.parent.glob("outbox.db.damaged-*"))) == 2


def test_damage_met_while_running_is_told_apart_and_mended_by_reopening(path: Path) -> None:
    filled(path, 5000)  # more than SQLite keeps in memory
    outbox = open_outbox(path, 10_000_000)
    overwrite(path, 5 * PAGE, b"\xff" * PAGE * 20)
    with pytest.raises(DamagedOutboxError, match="moved aside when it is opened next"):
        outbox.next_rows(5000)
    outbox.close()
    again = open_outbox(path, 10_000_000, counters=outbox.counters)
    assert again.recovered is not None
    assert 0 < again.recovered.saved < 5000
    assert again.counters["lost"] == 5000 - again.recovered.saved
    assert again.balance().missing == 0
