"""Packed binary frames with as many samples as each has room for: frames of one length are read together as fixed records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import msgspec
import numpy as np

from agent.decode.binary_records import BinaryFormat
from agent.decode.envelope import Rejected
from agent.decode.layout import field_bytes
from agent.decode.records import Arrivals, Records
from agent.decode.schema import BinaryRecord, Profile
from agent.types import Int64Array

_CACHED_LENGTHS = 64


class BinaryArrayFormat:
    """Reads records whose block of samples has no count of its own."""

    def __init__(self, profile: Profile, record: BinaryRecord) -> None:
        assert record.samples is not None, "a record without a block holds one sample"
        self._profile = profile
        self._record = record
        self._block = record.samples
        self._header_bytes = sum(map(field_bytes, record.fields))
        self._sample_bytes = sum(map(field_bytes, record.samples.fields))
        self._formats: dict[int, BinaryFormat] = {}

    def read(self, records: Sequence[bytes], arrivals: Arrivals, /) -> tuple[Records, Rejected]:
        """A record that does not end with a whole sample is rejected."""
        by_length: defaultdict[int, list[int]] = defaultdict(list)
        for index, record in enumerate(records):
            by_length[len(record)].append(index)
        rejected: Rejected = {}
        tables: list[Records] = []
        for length, indices in by_length.items():
            count, rest = divmod(length - self._header_bytes, self._sample_bytes)
            if count < 1 or rest:
                rejected.update(dict.fromkeys(indices, "decode_errors"))
                continue
            alike = records if len(by_length) == 1 else [records[index] for index in indices]
            table, refused = self._format(count).read(alike, arrivals)
            if len(by_length) == 1:
                return table, refused
            rejected.update({indices[index]: reason for index, reason in refused.items()})
            kept = np.delete(np.array(indices, dtype=np.int64), list(refused))
            tables.append(_one_by_one(table, kept))
        return self._joined(tables), rejected

    def _format(self, count: int) -> BinaryFormat:
        """The reader of records with so many samples."""
        known = self._formats.get(count)
        if known is None:
            block = msgspec.structs.replace(self._block, count=count)
            known = BinaryFormat(self._profile, msgspec.structs.replace(self._record, samples=block))
            if len(self._formats) >= _CACHED_LENGTHS:  # frames of every length cost time, not memory
                self._formats.clear()
            self._formats[count] = known
        return known

    def _joined(self, tables: list[Records]) -> Records:
        """The rows of all lengths in the order of their records."""
        if len(tables) == 1:
            return tables[0]
        channels = len(self._profile.channel)
        owner = np.concatenate([_rows(table.owner) for table in tables] or [np.empty(0, np.int64)])
        order = np.argsort(owner, kind="stable")
        values = np.concatenate([table.values for table in tables] or [np.empty((0, channels))])[order]
        sequence = np.concatenate([_rows(table.sequence) for table in tables])[order] if self._counts(tables) else None
        time_ns = np.concatenate([_rows(table.time_ns) for table in tables])[order] if self._timed(tables) else None
        return Records(values, sequence, time_ns, owner[order])

    def _counts(self, tables: list[Records]) -> bool:
        return bool(tables) and self._profile.sequence is not None

    def _timed(self, tables: list[Records]) -> bool:
        return bool(tables) and self._profile.time.field is not None


def _one_by_one(table: Records, records: Int64Array) -> Records:
    """The table of these records with a counter and an owner for each row."""
    count, sequence = table.samples, table.sequence
    if sequence is not None:
        sequence = (sequence[:, np.newaxis] + np.arange(count)).ravel()
    return Records(table.values, sequence, table.time_ns, np.repeat(records, count))


def _rows(column: Int64Array | None) -> Int64Array:
    assert column is not None, "all tables of a profile have the same columns"
    return column
