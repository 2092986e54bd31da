"""A candidate beside the bundle that runs, window by window: do they decide alike, and may it take its place? Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from agent.types import NANOSECONDS

_NS_PER_HOUR = 3_600 * NANOSECONDS


class Judged(NamedTuple):
    """What one of the two made of a window: is there an alarm, how strange is the score as a standard normal deviate."""

    alarmed: bool
    normal_score: float
    raised: int


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """How the two compare over `windows`. `agreement` is the share in which both had an alarm or neither had; `correlation` is Pearson's, of the
    scores as standard normal deviates of their own calibrations; both None before there is enough. `alarms` were raised by the model.
    """

    windows: int
    hours: float
    agreement: float | None
    correlation: float | None
    candidate_alarms: int
    incumbent_alarms: int
    candidate_ms: float | None  # median for one window
    incumbent_ms: float | None
    failures: int
    dropped: int  # windows that the candidate was too slow for


class Promotion(msgspec.Struct, frozen=True, kw_only=True):
    """What a candidate must keep to be promoted without anybody's word."""

    windows: int
    agreement: float
    correlation: float
    alarms: float  # times those of the incumbent, and one
    latency: float  # times that of the incumbent


@dataclass(slots=True)
class Comparison:
    """Adds up. Normal scores lie within -4 and 4, so that plain sums keep their precision."""

    windows: int = 0
    agreed: int = 0
    candidate_alarms: int = 0
    incumbent_alarms: int = 0
    watched_ns: int = 0
    failures: int = 0
    _sums: list[float] = field(default_factory=lambda: [0.0] * 6)

    def add(self, incumbent: Judged, candidate: Judged, hop_ns: int) -> None:
        """Take in one window; `hop_ns` is the event time that it adds."""
        self.windows += 1
        self.agreed += incumbent.alarmed == candidate.alarmed
        self.candidate_alarms += candidate.raised
        self.incumbent_alarms += incumbent.raised
        self.watched_ns += hop_ns
        x, y = incumbent.normal_score, candidate.normal_score
        if math.isfinite(x) and math.isfinite(y):
            self._sums = [total + each for total, each in zip(self._sums, (1, x, y, x * x, y * y, x * y), strict=True)]

    def report(self, candidate_ms: float | None, incumbent_ms: float | None, dropped: int) -> Compared:
        """How it stands."""
        return Compared(
            windows=self.windows,
            hours=self.watched_ns / _NS_PER_HOUR,
            agreement=self.agreed / self.windows if self.windows else None,
            correlation=_correlation(self._sums),
            candidate_alarms=self.candidate_alarms,
            incumbent_alarms=self.incumbent_alarms,
            candidate_ms=candidate_ms,
            incumbent_ms=incumbent_ms,
            failures=self.failures,
            dropped=dropped,
        )


def unmet(found: Compared, bounds: Promotion) -> list[str]:
    """What speaks against promoting the candidate; nothing where all bounds are kept."""
    return [text for text, kept in _bounds(found, bounds) if not kept]


def _bounds(found: Compared, bounds: Promotion) -> list[tuple[str, bool]]:
    allowed = bounds.alarms * found.incumbent_alarms + 1
    slowest = None if found.incumbent_ms is None else bounds.latency * found.incumbent_ms
    fast = found.candidate_ms is not None and slowest is not None and found.candidate_ms <= slowest
    return [
        (f"{found.windows} windows compared, {bounds.windows} are wanted", found.windows >= bounds.windows),
        (
            f"agreement {_number(found.agreement)} is below {bounds.agreement:g}",
            _least(found.agreement, bounds.agreement),
        ),
        (
            f"correlation {_number(found.correlation)} is below {bounds.correlation:g}",
            _least(found.correlation, bounds.correlation),
        ),
        (f"{found.candidate_alarms} alarms are more than {allowed:g}", found.candidate_alarms <= allowed),
        (f"{_number(found.candidate_ms)} ms a window are more than {_number(slowest)} ms", fast),
        (f"it failed {found.failures} times", found.failures == 0),
    ]


def _least(value: float | None, bound: float) -> bool:
    return value is not None and value >= bound


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4g}"


def _correlation(sums: Sequence[float]) -> float | None:
    """Pearson's, of the sums of 1, x, y, x², y² and xy; None where one of the two does not vary."""
    n, x, y, xx, yy, xy = sums
    if n < 2:
        return None
    spread = (n * xx - x * x) * (n * yy - y * y)
    return None if spread <= 0 else max(-1.0, min(1.0, (n * xy - x * y) / math.sqrt(spread)))
