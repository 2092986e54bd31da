"""How far a calibration's data carry: how wrong the promise of a budget may be, and how many more hours would make it good."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from agent.decide.calibration import Calibration

# A promised rate should be known within this factor, one standard error either way.
WIDEST = 3.0
_MOST_LOGARITHM = 100.0  # so that a factor stays a number
_HOURS = {"year": 8_765.82, "month": 730.485, "week": 168.0, "day": 24.0}
_MOST_COUNTED = 9.0  # people write 2 per week, not 104 per year


class Support(msgspec.Struct, frozen=True, kw_only=True):
    """What `hours` of normal operation say of a budget: the rate at its threshold may be wrong by `factor`, one standard error."""

    budget_per_hour: float
    factor: float
    hours: float
    more_hours: float  # until the factor is WIDEST; 0 where it is that already

    @property
    def sufficient(self) -> bool:
        """Whether the data support the budget."""
        return self.more_hours == 0

    def words(self, text: str) -> str:
        """For people; `text` is the budget as they wrote it."""
        if self.sufficient:
            return f"{self.hours:.3g} h of normal operation support '{text}': that rate may be wrong by a factor of {self.factor:.2g}"
        wrong = f"a factor of {self.factor:.2g}" if self.factor < 1_000 else "a factor of a thousand or more"
        return (
            f"{self.hours:.3g} h of normal operation are too little for '{text}': that rate may be wrong by {wrong}; "
            f"some {self.more_hours:.2g} h more would bring it to {WIDEST:g}"
        )


class _Part(NamedTuple):
    """One way in which normal operation raises an alarm: it comes so often to where rarer ones are extrapolated from, independently so often."""

    per_hour: float
    independent_per_hour: float


def support(calibration: Calibration, budget_per_hour: float) -> Support:
    """Whether the data behind `calibration` support the budget.

    Delta method on an exponential tail (Coles 2001, sections 2.6.4 and 4.3): with n independent excursions at the rate r the logarithm of a rate b
    that is extrapolated from them has the variance (1 + ln(r / b) ** 2) / n. A heavier tail's shape adds to that; the fit answers for
    it by raising the shape by its own standard error.
    """
    parts = list(_parts(calibration))
    each = budget_per_hour / len(parts)
    variances_an_hour = [_variance_an_hour(part, each) for part in parts]
    enough_hours = max(variances_an_hour) / math.log(WIDEST) ** 2
    variance = max(variances_an_hour) / max(calibration.hours, 1e-9)
    return Support(
        budget_per_hour=budget_per_hour,
        factor=math.exp(min(math.sqrt(variance), _MOST_LOGARITHM)),
        hours=calibration.hours,
        more_hours=max(0.0, enough_hours - calibration.hours),
    )


def _variance_an_hour(part: _Part, rate_per_hour: float) -> float:
    """What the variance of the rate's logarithm is after one hour; it falls with the hours."""
    spread = 1 + max(0.0, math.log(part.per_hour / rate_per_hour)) ** 2
    # Where the budget is more frequent than the threshold's rate, all events at the budget's own rate count.
    return spread / (part.independent_per_hour * max(1.0, rate_per_hour / part.per_hour))


def rarest_per_hour(calibration: Calibration) -> float:
    """The rarest budget that the data support."""
    parts = list(_parts(calibration))
    return len(parts) * max(_rarest(part, calibration.hours) for part in parts)


def rarest_words(calibration: Calibration) -> str:
    """The same as people write budgets."""
    rate = rarest_per_hour(calibration)
    for period, hours in _HOURS.items():
        if rate * hours <= _MOST_COUNTED:
            return f"{max(1, math.ceil(rate * hours))} per {period}"
    return f"{math.ceil(rate)} per hour"


def _rarest(part: _Part, hours: float) -> float:
    reach = part.independent_per_hour * hours * math.log(WIDEST) ** 2 - 1
    if reach < 0:  # not even the rate at the threshold is known so well
        return part.per_hour / max(1 + reach, 1e-9)
    return part.per_hour * math.exp(-math.sqrt(reach))


def _parts(calibration: Calibration) -> Iterator[_Part]:
    """Each shares the budget with the others."""
    share = 1.0 if calibration.independent is None else calibration.independent / max(calibration.clusters, 1)
    yield _Part(calibration.rate_per_hour, calibration.rate_per_hour * max(share, 1e-9))
    if calibration.lasting is not None:
        yield _Part(calibration.lasting.rate_per_hour, calibration.lasting.rate_per_hour)
