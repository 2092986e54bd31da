"""Rolling-element bearings: the frequencies at which a defect strikes, from geometry alone.

Randall and Antoni, "Rolling element bearing diagnostics: a tutorial", Mechanical Systems and Signal Processing 25(2), 2011:
outer ring at rest, inner ring turning with the shaft, no slip.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bearing:
    """Geometry of a bearing; diameters in any one unit."""

    balls: int
    ball_diameter: float
    pitch_diameter: float
    contact_deg: float = 0.0

    @property
    def bpfo(self) -> float:
        """Strikes a shaft turn of a ball on a defect of the outer race (ball pass frequency, outer)."""
        return self.balls / 2 * (1 - self._ratio)

    @property
    def bpfi(self) -> float:
        """Strikes a shaft turn of a ball on a defect of the inner race (ball pass frequency, inner)."""
        return self.balls / 2 * (1 + self._ratio)

    @property
    def bsf(self) -> float:
        """Turns of a ball a shaft turn (ball spin frequency); a defect of it strikes twice a turn, once on each race."""
        return self.pitch_diameter / (2 * self.ball_diameter) * (1 - self._ratio**2)

    @property
    def ftf(self) -> float:
        """Turns of the cage a shaft turn (fundamental train frequency)."""
        return (1 - self._ratio) / 2

    @property
    def _ratio(self) -> float:
        return self.ball_diameter / self.pitch_diameter * math.cos(math.radians(self.contact_deg))


# SKF 6205, the drive-end bearing of the Case Western Reserve University Bearing Data Center; its page gives these in inches.
SKF_6205 = Bearing(balls=9, ball_diameter=0.3126, pitch_diameter=1.537)
