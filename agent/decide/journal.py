"""The audit journal: each record holds the SHA-256 of the one before it, so that what was altered, removed or put in shows.

A record is canonical JSON: sorted keys, no white space, whole numbers and text only. It proves that nobody changed a part of the
chain; that its end was not cut off is shown by the head that the agent publishes in its health.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from agent.errors import UNREADABLE

GENESIS = "0" * 64  # what the first record of a chain has in the place of a hash
NEW = "a new journal"
_MOST_GAPS = 100


class Head(msgspec.Struct, frozen=True):
    """One record's number and hash; numbers start at 1 and are never used twice."""

    seq: int
    hash: str


START = Head(0, GENESIS)


class Sealed(NamedTuple):
    """A record as it is stored: its number, its bytes, and their SHA-256 in hexadecimal."""

    seq: int
    record: bytes
    hash: str


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """The entry that begins a chain. Behind a damaged file `last` is the last record that was saved from it, `missing` are the
    first and last numbers of records before it that were not.
    """

    kind: Literal["opening"] = "opening"
    reason: str
    last: Head | None = None
    missing: list[tuple[int, int]] = []


class Record(msgspec.Struct, frozen=True):
    """What is in a record's bytes; `recorded_ns` is the host's time, nanoseconds since the Unix epoch."""

    entry: msgspec.Raw
    previous: str
    recorded_ns: int
    seq: int


class _Kind(msgspec.Struct, frozen=True):
    kind: str = ""


class Break(msgspec.Struct, frozen=True):
    """The first record that is not as it was written, and what shows it."""

    seq: int
    why: str


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What a journal's records say of themselves. `pruned` is the number of the last record that was given up as too old, 0 where the
    journal is whole from its beginning; `openings` are chains begun anew behind a damaged file, with what they say is missing.
    """

    records: int
    pruned: int
    head: Head
    openings: list[tuple[int, Opening]]
    broken: Break | None


def entry(kind: str, body: msgspec.Struct | Mapping[str, Any]) -> bytes:
    """The bytes of one entry, an object with its `kind` beside the fields of `body`; those that are None are left out."""
    fields = {name: value for name, value in msgspec.to_builtins(body).items() if value is not None}
    return msgspec.json.encode({"kind": kind, **fields}, order="sorted")


def seal(data: bytes, previous: Head, recorded_ns: int) -> Sealed:
    """The entry `data` as the record behind `previous`."""
    return _sealed(data, previous.seq + 1, previous.hash, recorded_ns)


def reopen(reason: str, last: Head | None, missing: Sequence[tuple[int, int]], recorded_ns: int) -> Sealed:
    """The record that begins a chain; it tells what it knows of the one before, and its hash does not rest on it."""
    if len(missing) > _MOST_GAPS:
        missing = [*missing[: _MOST_GAPS - 1], (missing[_MOST_GAPS - 1][0], missing[-1][1])]
    opening = Opening(reason=reason, last=last, missing=list(missing))
    return _sealed(
        msgspec.json.encode(opening, order="sorted"), 1 if last is None else last.seq + 1, GENESIS, recorded_ns
    )


def is_sound(sealed: Sealed) -> bool:
    """Whether the bytes are those that were sealed."""
    return hashlib.sha256(sealed.record).hexdigest() == sealed.hash


def gaps(sealed: Iterable[Sealed], pruned: int) -> list[tuple[int, int]]:
    """First and last numbers that are missing between records behind number `pruned`, in their order."""
    found, expected = [], pruned + 1
    for each in sealed:
        if each.seq > expected:
            found.append((expected, each.seq - 1))
        expected = each.seq + 1
    return found


def verify(records: Iterable[Sealed], anchor: Head = START) -> Verification:
    """Look at records in the order of their numbers; `anchor` is the last one that was given up as too old."""
    verifier = Verifier(anchor)
    for record in records:
        verifier.add(record)
    return verifier.result()


class Verifier:
    """Takes a journal record by record; `result` may be asked for at any time."""

    def __init__(self, anchor: Head = START) -> None:
        """`anchor` is the last record that was given up as too old."""
        self._anchor = self.head = anchor
        self._count = 0
        self._gaps: list[tuple[int, int]] = []  # not yet owned up to by an opening behind them
        self._openings: list[tuple[int, Opening]] = []
        self._broken: Break | None = None

    def add(self, sealed: Sealed) -> None:
        """Take the next record; behind a broken one nothing more is judged."""
        self._count += 1
        if self._broken is None:
            why = self._fault(sealed)
            if why is not None:
                self._broken = Break(sealed.seq, why)
            self.head = Head(sealed.seq, sealed.hash)

    def result(self) -> Verification:
        """The journal as far as it was seen."""
        broken = self._broken
        if self._gaps and (broken is None or self._gaps[0][0] <= broken.seq):
            first, last = self._gaps[0]
            what = f"record {first} is" if first == last else f"records {first} to {last} are"
            broken = Break(first, f"{what} missing")
        return Verification(
            records=self._count, pruned=self._anchor.seq, head=self.head, openings=self._openings, broken=broken
        )

    def _fault(self, sealed: Sealed) -> str | None:
        """What is wrong with a record, by itself and then in its place."""
        if not is_sound(sealed):
            return "its bytes do not give its hash"
        try:
            record = msgspec.json.decode(sealed.record, type=Record)
            kind = msgspec.json.decode(record.entry, type=_Kind).kind
            opening = msgspec.json.decode(record.entry, type=Opening) if kind == "opening" else None
        except UNREADABLE as error:
            return f"it is no record: {error}"
        return self._misplaced(sealed, record, opening)

    def _misplaced(self, sealed: Sealed, record: Record, opening: Opening | None) -> str | None:
        if record.seq != sealed.seq:
            return f"it says that it is record {record.seq}"
        if sealed.seq <= self.head.seq:
            return f"it stands behind record {self.head.seq}"
        if opening is not None and record.previous == GENESIS and opening.reason != NEW:
            return self._reopened(sealed.seq, opening)
        if sealed.seq > self.head.seq + 1:
            self._gaps.append((self.head.seq + 1, sealed.seq - 1))
            return None
        if record.previous != self.head.hash:
            return "the hash in it is not that of the record before it"
        return None

    def _reopened(self, seq: int, opening: Opening) -> str | None:
        """A chain begun anew must own up to every gap before it, and to the record that it stands behind."""
        if (opening.last or START) != self.head or seq != self.head.seq + 1:
            return "a chain begins here that does not know the record before it"
        for first, last in self._gaps:
            if not any(start <= first and last <= end for start, end in opening.missing):
                return None  # the gap stays, and is what is broken
        self._gaps.clear()
        self._openings.append((seq, opening))
        return None


def _sealed(data: bytes, seq: int, previous: str, recorded_ns: int) -> Sealed:
    fields = {"entry": msgspec.Raw(data), "previous": previous, "recorded_ns": recorded_ns, "seq": seq}
    record = msgspec.json.encode(fields, order="sorted")
    return Sealed(seq, record, hashlib.sha256(record).hexdigest())
