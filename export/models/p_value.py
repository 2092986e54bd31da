"""A score as evidence: -ln of how often normal operation scores as high, by a table with a heavy tail inside the graph."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

_HALVINGS = 16
_TAIL = 8  # the tail is measured on at least as many normal scores
_RESOLUTION = 1e-4  # of the score; equal normal scores would make a step


class Evidence(nn.Module):
    """-ln p of each member's score, p the share of normal scores as high, [batch, members] to the same shape.

    The knots are 0 and the quantiles that half of the normal scores exceed, a quarter, an eighth, ... while enough are left. The evidence is
    linear between them; beyond the last one follows the generalised Pareto distribution of shape ½ with the mean excess m of normal
    scores there, the heaviest tail that calibration allows too (`export.calibrate`):

        evidence = Σ_k slope_k · min(max(score - knot_k, 0), width_k) + 2 ln(1 + max(score - last knot, 0) / m)

    So a member whose score grows with the square of a fault and one whose score grows with its root have a say each. Elementwise
    operators alone.
    """

    knots: Tensor
    widths: Tensor
    slopes: Tensor
    last: Tensor
    excess: Tensor

    def __init__(self, members: int) -> None:
        super().__init__()
        for name in ("knots", "widths", "slopes"):
            self.register_buffer(name, torch.zeros(members, _HALVINGS))
        self.register_buffer("last", torch.zeros(members))
        self.register_buffer("excess", torch.ones(members))

    @torch.no_grad()
    def fit(self, scores: Tensor) -> None:
        """Learn from the scores [n, members], at least 0, of normal windows that the members have not been fitted on."""
        segments = max(min(int(math.log2(len(scores) / _TAIL)), _HALVINGS), 1)
        shares = 0.5 ** torch.arange(segments + 1, dtype=torch.float64)
        for member, normal in enumerate(scores.double().T):
            knots = torch.quantile(normal, 1 - shares)
            knots[0] = 0
            least = _RESOLUTION * float(normal.mean().clamp(min=_RESOLUTION))
            knots = torch.cummax(knots + least * torch.arange(segments + 1), 0).values
            beyond = normal[normal > knots[-1]] - knots[-1]
            self.knots[member, :segments] = knots[:-1]
            self.widths[member, :segments] = knots.diff()
            self.slopes[member, :segments] = math.log(2) / knots.diff()
            self.last[member] = knots[-1]
            self.excess[member] = max(float(beyond.mean()), least) if len(beyond) else least

    def forward(self, score: Tensor) -> Tensor:
        steps = torch.minimum((score.unsqueeze(2) - self.knots).clamp(min=0), self.widths) * self.slopes
        tail = ((score - self.last).clamp(min=0) + self.excess).log() - self.excess.log()
        return steps.sum(2) + 2 * tail
