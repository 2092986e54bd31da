"""Has the newest reading, or the mean of the newest few, left the range of all that the window held before?"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from export.models.detector import FURTHEST, Detector
from export.models.family import Family, Option, Shape
from export.models.features import in_parts

_QUIETEST = (
    0.5  # standard deviations of training: a range that is narrower than this to either side is taken as so wide
)
_POWER = 8.0
_LEAST = 1e-3


class RangeRecord(Detector):
    """The breaking of records (Foster and Stuart 1954), measured in ranges, with the window as its own history.

    With k cells the newest share of the window, and range(f) the lowest to highest f_t before the newest,

        p(f) = |f_newest - middle of range(f)| / max(half of range(f), ½ σ)     1 at an edge, 1.1 where it is passed by 5 % of the range
        p_1 = p(z)      p_2 = p(mean of k cells)      p_3 = |mean of the window|, in standard deviations of training
        channel_score = (Σ_i (p_i / u_i)^8)^(1/8)                               score = (Σ_c channel_score_c^8)^(1/8)

    p_1 passed by 5 % is the rule that Numenta's HTM detector in NAB's program carries beside its network; the mean sees
    a climb that no single reading shows; the power lets the stranger one speak. `history` says what is usual. "window": u = 1 and p_3 is left
    out, nothing of training counts but σ, and the model follows a machine that drifts, but a fault is seen only as it begins. "training": u is the largest of the
    normal windows, and p_3 keeps a standing offset strange.

    The power, the newest share and ½ σ were chosen on every second series of NAB (`python -m tests.bench models`). Pooling and elementwise
    operators alone: all run on an accelerator.
    """

    usual: Tensor

    def __init__(self, shape: Shape, newest: float, history: str) -> None:
        super().__init__(shape.channels)
        self.cells = min(max(round(newest * shape.window), 1), shape.window - 1)
        self.history = history
        self.register_buffer("usual", torch.ones(shape.channels, 3))

    @torch.no_grad()
    def fit_score(self, windows: Tensor, labels: Tensor) -> None:  # noqa: ARG002 - normal windows only
        if self.history == "window":
            self.usual.copy_(torch.tensor([1.0, 1.0, FURTHEST**2]))
        else:
            self.usual.copy_(in_parts(self._places, windows).amax(0).clamp(min=_LEAST))

    def forward(self, window: Tensor) -> tuple[Tensor, Tensor]:
        places = (self._places(window) / self.usual).clamp(max=FURTHEST)
        channel_score = _norm(places, 2)
        return _norm(channel_score, 1), channel_score

    def _places(self, window: Tensor) -> Tensor:
        """p_1, p_2 and p_3 [batch, channels, 3]."""
        z = self.normalise(window)
        means = F.avg_pool1d(z, self.cells, stride=1)
        return torch.stack([_place(z), _place(means), z.mean(2).abs()], 2)


def _place(values: Tensor) -> Tensor:
    """How far the last of `values` [batch, channels, time] is from the middle of the range of all others, in halves of it."""
    before = values[:, :, :-1]
    high, low = before.amax(2), before.amin(2)
    return (values[:, :, -1] - (high + low) / 2).abs() / ((high - low) / 2).clamp(min=_QUIETEST)


def _norm(values: Tensor, dim: int) -> Tensor:
    """The 8-norm; scaled by the largest, so that eighth powers stay within float32."""
    largest = values.amax(dim, keepdim=True).clamp(min=_LEAST)
    return (values / largest).pow(_POWER).sum(dim).pow(1 / _POWER) * largest.squeeze(dim)


FAMILY = Family(
    "range-record",
    RangeRecord,
    {
        "newest": Option(1 / 64, low=0.002, high=0.25, log=True),
        "history": Option("training", choices=("training", "window")),
    },
    permutes=True,
)
