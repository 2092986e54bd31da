"""Which alarms of one replay are new, gone or moved in another: matched by machine, by point and by overlap in event time."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec


class Episode(msgspec.Struct, frozen=True, kw_only=True):
    """One deviation from raising to clearing, event times in nanoseconds; `ended_ns` is None where it stood at the recording's end."""

    machine: str
    point: str
    id: str
    raised_ns: int
    ended_ns: int | None
    peak_strangeness: float
    channels: list[str]  # the strangest first


class Pair(msgspec.Struct, frozen=True):
    """One alarm as each of the two replays gave it."""

    before: Episode
    after: Episode


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """Alarms of the second replay alone, of the first alone, of both at other times, and of both at the same times."""

    new: list[Episode]
    gone: list[Episode]
    moved: list[Pair]
    same: list[Pair]

    def __bool__(self) -> bool:
        """True where anything differs."""
        return bool(self.new or self.gone or self.moved)


def compare(before: Sequence[Episode], after: Sequence[Episode]) -> Difference:
    """Pair the alarms of each machine that overlap, the longest overlap first, each alarm once; the rest are new or gone."""
    overlaps = sorted(
        (-_overlap_ns(old, new), old.raised_ns, new.raised_ns, i, j)
        for i, old in enumerate(before)
        for j, new in enumerate(after)
        if (old.machine, old.point) == (new.machine, new.point) and _overlap_ns(old, new) >= 0
    )
    partner: dict[int, int] = {}
    taken: set[int] = set()
    for *_, i, j in overlaps:
        if i not in partner and j not in taken:
            partner[i] = j
            taken.add(j)
    pairs = [Pair(before[i], after[j]) for i, j in sorted(partner.items())]
    return Difference(
        new=[episode for j, episode in enumerate(after) if j not in taken],
        gone=[episode for i, episode in enumerate(before) if i not in partner],
        moved=[pair for pair in pairs if not _same_times(pair)],
        same=[pair for pair in pairs if _same_times(pair)],
    )


def _overlap_ns(one: Episode, other: Episode) -> int:
    """Nanoseconds common to both, zero where they only touch, negative where they are apart."""
    ends = [episode.ended_ns for episode in (one, other) if episode.ended_ns is not None]
    start = max(one.raised_ns, other.raised_ns)
    # Where neither has ended, both reach the end of the recording; the later start leaves the less in common.
    return (min(ends) if ends else 1 << 62) - start


def _same_times(pair: Pair) -> bool:
    return (pair.before.raised_ns, pair.before.ended_ns) == (pair.after.raised_ns, pair.after.ended_ns)
