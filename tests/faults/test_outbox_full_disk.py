"""A disk that is really full: alarms still get in, delivered rows still get out, and the books balance."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.decide.journal import Verification, entry, verify
from agent.errors import OutboxError
from agent.outbox.store import Outbox
from agent.types import Kind
from tests.harness.outbox import a_message, open_outbox
from tests.harness.small_disk import fill, small_disk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 8) as folder:
        yield folder


def outbox_on_a_full_disk(folder: Path) -> Outbox:
    outbox = open_outbox(folder / "outbox.db", 64_000_000)
    for number in range(100):
        outbox.commit([a_message(f"s{number}-{i}", Kind.SUMMARY, 1000) for i in range(10)])
    fill(folder / "runaway.log")
    return outbox


def young_outbox_on_a_full_disk(folder: Path) -> Outbox:
    outbox = open_outbox(folder / "outbox.db", 64_000_000)
    raise_alarm(outbox, "first")
    fill(folder / "runaway.log")
    return outbox


def raise_alarm(outbox: Outbox, name: str) -> None:
    """An alarm's beginning and its end, each with its state and its record in the journal."""
    for event in ("new", "end"):
        record = entry("transition", {"alarm": name, "event": event, "reason": "." * 300})
        outbox.commit([a_message(f"{name}/{event}", size_bytes=900)], {"alarm": name.encode()}, journal=[record])


def events(names: list[str]) -> set[str]:
    return {f"{name}/{event}" for name in names for event in ("new", "end")}


def deliver_all(outbox: Outbox) -> set[str]:
    delivered: set[str] = set()
    while rows := outbox.next_rows(20):
        outbox.delete([row.id for row in rows])
        delivered |= {row.message.key for row in rows}
    return delivered


def verified(outbox: Outbox) -> Verification:
    """Of the journal as it is kept, which must end with the head."""
    records, anchor = outbox.read_journal(lambda journal: (journal.page(0, 100_000), journal.anchor()))
    assert records[-1].hash == outbox.journal_head.hash
    return verify(records, anchor)


def keys(outbox: Outbox) -> list[str]:
    return [row.message.key for row in outbox.next_rows(100_000)]


def test_alarms_get_in_at_the_cost_of_summaries(disk: Path) -> None:
    outbox = outbox_on_a_full_disk(disk)
    for number in range(300):
        outbox.commit([a_message(f"a{number}", size_bytes=2000)], {"alarm": str(number).encode()})
    assert {f"a{number}" for number in range(300)} <= set(keys(outbox))
    assert outbox.load_state() == {"alarm": b"299"}
    assert outbox.counters["evicted"] > 0
    assert outbox.balance().missing == 0


def test_delivered_rows_get_out(disk: Path) -> None:
    outbox = outbox_on_a_full_disk(disk)
    while rows := outbox.next_rows(20):
        outbox.delete([row.id for row in rows])
    assert outbox.balance().as_dict() == {"in": 1000, "out": 1000, "held": 0, "dropped": 0}


def test_newer_summaries_replace_the_oldest(disk: Path) -> None:
    outbox = outbox_on_a_full_disk(disk)
    for number in range(2000):
        outbox.commit([a_message(f"new{number}", Kind.SUMMARY, 1000)])
    assert keys(outbox)[-1] == "new1999"
    assert "s0-0" not in keys(outbox)
    assert outbox.balance().missing == 0


def test_what_cannot_be_stored_is_refused_whole_with_a_remedy(disk: Path) -> None:
    outbox = outbox_on_a_full_disk(disk)
    held = keys(outbox)
    with pytest.raises(OutboxError, match=r"outbox\.db: .* full; free space"):
        outbox.commit(state={"huge": bytes(4_000_000)})
    assert keys(outbox) == held
    assert outbox.load_state() == {}


def test_growth_and_ballast_return_with_the_space(disk: Path) -> None:
    outbox = outbox_on_a_full_disk(disk)
    for number in range(50):
        outbox.commit([a_message(f"a{number}", size_bytes=4000)])
    (disk / "runaway.log").unlink()
    evicted = outbox.counters["evicted"]
    outbox.commit([a_message("first")])
    outbox.commit([a_message(f"b{number}", size_bytes=4000) for number in range(200)])
    assert (disk / "outbox.db.ballast").stat().st_size == 1024 * 1024
    assert (disk / "outbox.db.reserve").stat().st_size == 768 * 1024
    assert outbox.counters["evicted"] == evicted


def test_an_agent_that_starts_on_a_full_disk_spends_the_ballast_and_works(disk: Path) -> None:
    outbox_on_a_full_disk(disk).close()
    fill(disk / "runaway.log")
    outbox = open_outbox(disk / "outbox.db", 64_000_000)
    for number in range(50):
        outbox.commit([a_message(f"a{number}", size_bytes=2000)])
    assert {f"a{number}" for number in range(50)} <= set(keys(outbox))
    assert outbox.balance().missing == 0


def test_a_damaged_file_on_a_full_disk_gives_back_its_alarms_first(disk: Path) -> None:
    outbox = open_outbox(disk / "outbox.db", 64_000_000)
    for number in range(100):
        outbox.commit([a_message(f"s{number}-{i}", Kind.SUMMARY, 3000) for i in range(10)], {"alarm": b"1"})
    outbox.commit([a_message(f"a{number}", size_bytes=300) for number in range(100)])
    outbox.close()
    with (disk / "outbox.db").open("r+b") as file:
        file.seek(100 * 4096)
        file.write(b"\xff" * 4096)
    outbox = open_outbox(disk / "outbox.db", 64_000_000)
    assert outbox.recovered is not None
    assert "too full" in outbox.recovered.reason
    assert outbox.load_state() == {"alarm": b"1"}
    assert {f"a{number}" for number in range(100)} <= set(keys(outbox))
    assert 100 < outbox.recovered.saved < 1000
    outbox.commit([a_message("later")])
    assert "later" in keys(outbox)


@pytest.mark.parametrize("restarts", [0, 1])
def test_a_young_box_without_a_link_gives_up_no_alarm_for_another(disk: Path, restarts: int) -> None:
    outbox = young_outbox_on_a_full_disk(disk)
    names = [f"a{number}" for number in range(100)]
    for number, name in enumerate(names, 1):
        raise_alarm(outbox, name)
        if restarts and number % (len(names) // restarts) == 0:
            outbox.close()
            fill(disk / "runaway.log")
            outbox = open_outbox(disk / "outbox.db", 64_000_000)
            fill(disk / "runaway.log")
    assert verified(outbox).broken is None
    assert outbox.read_journal(lambda journal: journal.anchor().seq) == 0
    (disk / "runaway.log").unlink()
    assert deliver_all(outbox) == events(["first", *names])
    assert outbox.counters["evicted"] == 0


def test_a_young_box_with_nothing_to_evict_keeps_its_journal(disk: Path) -> None:
    outbox = young_outbox_on_a_full_disk(disk)
    names = [f"a{number}" for number in range(300)]
    delivered = deliver_all(outbox)
    for name in names:
        raise_alarm(outbox, name)
        delivered |= deliver_all(outbox)
    assert delivered == events(["first", *names])
    assert verified(outbox).broken is None
    assert outbox.read_journal(lambda journal: journal.anchor().seq) == 0


def test_with_the_reserve_used_up_the_newest_alarms_and_records_stay_and_each_loss_is_told(disk: Path) -> None:
    outbox = young_outbox_on_a_full_disk(disk)
    names = [f"a{number}" for number in range(600)]
    for name in names:
        raise_alarm(outbox, name)
    assert (disk / "outbox.db.reserve").stat().st_size == 0
    assert outbox.counters["evicted"] > 0
    assert outbox.balance().missing == 0
    assert events(names[-20:]) <= set(keys(outbox))
    assert verified(outbox).broken is None
    newest = outbox.read_journal(lambda journal: journal.latest(outbox.journal_head.seq + 1, 64))
    assert [sealed.seq for sealed in newest] == list(range(outbox.journal_head.seq, outbox.journal_head.seq - 64, -1))


def test_without_a_reserve_and_with_nothing_to_evict_the_newest_records_stay_and_the_oldest_go(disk: Path) -> None:
    outbox = young_outbox_on_a_full_disk(disk)
    (disk / "outbox.db.reserve").unlink()
    fill(disk / "runaway.log")
    pruned = 0
    for number in range(300):
        raise_alarm(outbox, f"a{number}")
        deliver_all(outbox)
        verification = verified(outbox)
        assert verification.broken is None
        assert verification.records >= min(64, verification.head.seq)
        pruned = verification.pruned
    assert pruned > 0
