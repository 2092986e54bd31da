"""An outbox that an older stethos wrote: opened as it is, with all that waits in it, and then taking what the older one did not know."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from agent.types import Kind
from tests.harness.outbox import a_message, open_outbox

FORMAT_2 = """
CREATE TABLE message (
  id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, kind INTEGER NOT NULL CHECK (kind BETWEEN 0 AND 2),
  topic TEXT NOT NULL, payload BLOB NOT NULL, created_ns INTEGER NOT NULL, expiry_s INTEGER, size_bytes INTEGER NOT NULL) STRICT;
CREATE INDEX message_by_kind ON message (kind, id);
CREATE TABLE state (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
CREATE TABLE journal (seq INTEGER PRIMARY KEY, record BLOB NOT NULL, hash TEXT NOT NULL) STRICT;
INSERT INTO message VALUES (7, 'a', 0, 't', 'an alarm', 1, NULL, 100);
INSERT INTO state VALUES ('alarm/pump', 'its state');
PRAGMA user_version = 2;
"""


def test_a_file_of_format_2_keeps_what_waits_and_takes_security_events(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(FORMAT_2.replace("'an alarm'", "x'616c61726d'").replace("'its state'", "x'00'"))
    for opened in range(2):  # the second time it is of format 3
        outbox = open_outbox(path)
        outbox.commit([a_message(f"s{opened}", Kind.SECURITY)])
        assert [row.message.key for row in outbox.next_rows(9, set(), set())][: opened + 2] == ["a", "s0", "s1"][
            : opened + 2
        ]
        assert outbox.load_state()["alarm/pump"] == b"\0"
        outbox.close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("PRAGMA user_version").fetchone() == (3,)


def test_security_events_give_way_before_alarms_and_after_summaries(tmp_path: Path) -> None:
    outbox = open_outbox(tmp_path / "outbox.db", max_bytes=64 * 1024)
    outbox.commit([a_message("a", Kind.ALARM, 2_000), a_message("s", Kind.SECURITY, 2_000)])
    for number in range(40):
        outbox.commit([a_message(f"m{number}", Kind.SUMMARY, 2_000)])
    kept = {row.message.key for row in outbox.next_rows(99, set(), set())}
    assert {"a", "s"} <= kept
    for number in range(60):
        outbox.commit([a_message(f"s{number}", Kind.SECURITY, 2_000)])
    kept = {row.message.key for row in outbox.next_rows(99, set(), set())}
    assert "a" in kept, "nobody pushes an alarm out by being refused often"
    assert "s" not in kept
    outbox.close()
