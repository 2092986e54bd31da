"""The audit journal's chain: whatever is altered, removed, moved or put in, the first record that is wrong is named."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from agent.decide.journal import GENESIS, NEW, START, Break, Head, Sealed, entry, gaps, reopen, seal, verify

TEXTS = st.text(max_size=30)


def chain(comments: list[str]) -> list[Sealed]:
    records = [reopen(NEW, None, [], 1)]
    for number, comment in enumerate(comments):
        data = entry("transition", {"by": "somebody", "comment": comment, "time_ns": number})
        records.append(seal(data, Head(records[-1].seq, records[-1].hash), number + 2))
    return records


CHAINS = st.lists(TEXTS, min_size=2, max_size=8).map(chain)


def break_of(records: list[Sealed], anchor: Head = START) -> Break:
    """Where the chain does not hold, which it must not."""
    broken = verify(records, anchor).broken
    assert broken is not None
    return broken


@given(CHAINS)
def test_what_was_written_verifies_whole_and_from_any_anchor(records: list[Sealed]) -> None:
    result = verify(records)
    assert (result.broken, result.pruned, result.records) == (None, 0, len(records))
    assert result.head == Head(records[-1].seq, records[-1].hash)
    for kept in range(1, len(records)):
        anchor = Head(records[kept - 1].seq, records[kept - 1].hash)
        pruned = verify(records[kept:], anchor)
        assert (pruned.broken, pruned.pruned) == (None, kept)


@given(CHAINS, st.data())
def test_any_flipped_bit_of_any_record_is_found_there(records: list[Sealed], data: st.DataObject) -> None:
    number = data.draw(st.integers(0, len(records) - 1))
    flipped = bytearray(records[number].record)
    position = data.draw(st.integers(0, len(flipped) * 8 - 1))
    flipped[position // 8] ^= 1 << position % 8
    records[number] = records[number]._replace(record=bytes(flipped))
    assert break_of(records).seq == number + 1


@given(CHAINS, st.data())
def test_a_record_altered_with_its_hash_is_found_at_the_next(records: list[Sealed], data: st.DataObject) -> None:
    number = data.draw(st.integers(0, len(records) - 2))
    before = START if number == 0 else Head(records[number - 1].seq, records[number - 1].hash)
    records[number] = seal(entry("transition", {"comment": "another story"}), before, 99)
    assert break_of(records).seq == number + 2


@given(CHAINS, st.data())
def test_a_record_removed_is_found(records: list[Sealed], data: st.DataObject) -> None:
    number = data.draw(st.integers(0, len(records) - 2))
    del records[number]
    broken = break_of(records)
    assert broken.seq == number + 1
    assert "missing" in broken.why


@given(CHAINS, st.data())
def test_two_records_that_changed_places_are_found(records: list[Sealed], data: st.DataObject) -> None:
    first = data.draw(st.integers(0, len(records) - 2))
    second = data.draw(st.integers(first + 1, len(records) - 1))
    records[first], records[second] = records[second], records[first]
    assert verify(records).broken is not None
    renumbered = [each._replace(seq=number + 1) for number, each in enumerate(records)]
    assert break_of(renumbered).seq == first + 1


@given(CHAINS, st.data())
def test_a_record_put_in_is_found_there_or_at_the_next(records: list[Sealed], data: st.DataObject) -> None:
    number = data.draw(st.integers(1, len(records) - 1))
    before = Head(records[number - 1].seq, records[number - 1].hash)
    opens = data.draw(st.booleans())
    made = reopen("damaged", before, [], 9) if opens else seal(entry("transition", {"by": "nobody"}), before, 9)
    forged = [*records[:number], made, *(each._replace(seq=each.seq + 1) for each in records[number:])]
    assert break_of(forged).seq in {number + 1, number + 2}


@given(CHAINS, st.data())
def test_a_beginning_given_up_is_told_apart_from_one_that_was_torn_off(
    records: list[Sealed], data: st.DataObject
) -> None:
    kept = data.draw(st.integers(1, len(records) - 1))
    assert break_of(records[kept:]).seq == 1
    assert break_of(records[kept:], Head(kept, GENESIS)).seq == kept + 1


@given(CHAINS, st.data())
def test_a_new_chain_behind_damage_owns_up_to_what_is_missing_and_to_nothing_else(
    records: list[Sealed], data: st.DataObject
) -> None:
    lost = data.draw(st.sets(st.integers(0, len(records) - 2), min_size=1))
    saved = [each for number, each in enumerate(records) if number not in lost]
    last = Head(saved[-1].seq, saved[-1].hash)
    opening = reopen("the file was damaged", last, gaps(saved, 0), 50)
    more = seal(entry("transition", {"by": "later"}), Head(opening.seq, opening.hash), 51)
    result = verify([*saved, opening, more])
    assert result.broken is None
    assert [seq for seq, _ in result.openings] == [opening.seq]
    silent = reopen("the file was damaged", last, gaps(saved, 0)[1:], 50)
    assert break_of([*saved, silent]).seq == min(lost) + 1


@given(st.lists(st.tuples(st.integers(-5, 20), st.binary(max_size=60), TEXTS), max_size=5))
def test_any_rows_at_all_are_judged_without_a_crash(rows: list[tuple[int, bytes, str]]) -> None:
    records = [Sealed(*row) for row in rows]
    assert (verify(records).broken is None) == (not records)


@given(
    st.dictionaries(
        TEXTS.filter(lambda name: name != "kind"), st.one_of(TEXTS, st.integers(-(2**53), 2**53), st.booleans())
    )
)
def test_entries_are_canonical_json(fields: dict[str, object]) -> None:
    data = entry("note", fields)
    assert msgspec.json.encode(msgspec.json.decode(data), order="sorted") == data
