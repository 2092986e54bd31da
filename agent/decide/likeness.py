"""Which earlier alarms a new one is like, by the point that raised them and their channels' shares, and what operators said of those."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Literal

import msgspec

from agent.types import NANOSECONDS

Judgement = Literal["true", "false"]  # what an operator found an alarm to be
LIKE = 0.9  # two alarms that share a channel evenly, or not at all, have a cosine of 0.71
MOST_SIMILAR = 3
_DIGITS = 3  # what differs by less is alike, whatever the last bits of a score


class PastAlarm(msgspec.Struct, frozen=True, kw_only=True):
    """An alarm that was told of, as it is remembered. `shares` are those of the window that raised it, `band_hz` is its leading channel's."""

    id: str
    point: str
    raised_ns: int
    cleared_ns: int | None
    peak_strangeness: float
    shares: dict[str, float]  # by DEVICE.CHANNEL
    band_hz: tuple[float, float] | None = None
    verdict: Judgement | None = None
    by: str = ""
    comment: str = ""


class Similar(msgspec.Struct, frozen=True, kw_only=True):
    """An earlier alarm of the machine that this one is like; `verdict`, `by` and `comment` are the last that an operator said of it."""

    id: str
    raised_ns: int
    lasted_s: float
    similarity: float
    peak_strangeness: float
    band_hz: tuple[float, float] | None
    verdict: Judgement | None
    by: str
    comment: str


def similarity(shares: Mapping[str, float], others: Mapping[str, float]) -> float:
    """The cosine between two alarms' shares, 0 to 1: sum(a b) / sqrt(sum(a a) sum(b b)) over all channels; one that is not named has none."""
    one, other = _of_its_largest(shares), _of_its_largest(others)
    product = math.fsum(share * other.get(channel, 0.0) for channel, share in one.items())
    sizes = math.hypot(*one.values()) * math.hypot(*other.values())
    return min(1.0, product / sizes) if sizes > 0 else 0.0


def _of_its_largest(shares: Mapping[str, float]) -> Mapping[str, float]:
    """Shares as fractions of the largest, so that the products of tiny ones do not vanish."""
    largest = max(shares.values(), default=0.0)
    return {channel: share / largest for channel, share in shares.items()} if largest > 0 else shares


def alike(point: str, shares: Mapping[str, float], past: Iterable[PastAlarm]) -> list[Similar]:
    """Up to three of `past` that are over and as similar as `LIKE`, the most similar first, of those the latest.

    All alarms of a rule have the same shares, so that they are told apart by their point alone.
    """
    found = [
        _similar(each, round(similarity(shares, each.shares), _DIGITS))
        for each in past
        if each.point == point and each.cleared_ns is not None
    ]
    near = [each for each in found if each.similarity >= LIKE]
    return sorted(near, key=lambda each: (-each.similarity, -each.raised_ns, each.id))[:MOST_SIMILAR]


def in_words(similar: Iterable[Similar]) -> str:
    """One sentence on the most similar that was judged, or at least commented; on the first where none was. Empty where there is none."""
    told = sorted(
        similar, key=lambda each: (each.verdict is None, not each.comment)
    )  # stable: still the most similar first
    if not told:
        return ""
    best = told[0]
    when = f"{datetime.fromtimestamp(best.raised_ns // NANOSECONDS, UTC):%Y-%m-%d %H:%M}"
    comment = best.comment.rstrip(" .")
    if best.verdict is not None:
        said = f", which {best.by} called a {best.verdict} alarm: {comment}"
    else:
        said = f", of which {best.by} said: {comment}" if comment else ""
    return f"Like the one of {when}{said}."


def _similar(past: PastAlarm, likeness: float) -> Similar:
    assert past.cleared_ns is not None, "only what is over has a length"
    return Similar(
        id=past.id,
        raised_ns=past.raised_ns,
        lasted_s=(past.cleared_ns - past.raised_ns) / NANOSECONDS,
        similarity=likeness,
        peak_strangeness=past.peak_strangeness,
        band_hz=past.band_hz,
        verdict=past.verdict,
        by=past.by,
        comment=past.comment,
    )
