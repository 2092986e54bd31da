"""A machine's cycle against the nearest normal one: as a whole, its usual scatter taken out, and moment by moment."""

from __future__ import annotations

import torch
from torch import Tensor

from export.models.detector import FURTHEST, Detector
from export.models.family import Family, Option, Shape
from export.models.features import in_parts
from export.models.quadratic_form import QuadraticForm
from export.models.subsequences import choose

_SAME_STATE = 2.0  # times the median squared step: a longer one is a change of state, not scatter
_SHARE_OF_SPREAD = 0.05  # of a moment's spread over cycles: what is closer than this to a normal value is normal
_LEAST = 1e-3  # standard deviations of the channel
_PART = 256
_CANDIDATES = 4  # whose distance is taken anew: that by the product of matrices is too coarse in float32 where states lie far apart
_ALIKE = 0.05  # of the usual distance, itself at least as much; also keeps the distance of a member of the bank to itself above rounding


class CycleNeighbours(Detector):
    """Two distances to the normal cycles c_1 ... c_M that training has seen, each the nearest, and their geometric mean.

    With f the means of P pieces of the cycle in each channel, Σ the covariance of f between successive normal cycles in the same
    state, shrunk by Ledoit and Wolf 2004, and x_j the mean at moment j of a channel:

        whole  = min_m |Σ^-½ (f - f_m)|        moment_c = max_j dist(x_cj, values seen at j) / (median step at j + 5 % of the spread)
        score  = |whole / usual, .05|^a · |max_c moment_c / usual, .05|^b,   1/a : 1/b = spread of ln whole : spread of ln moment,  a + b = 1

    The nearest cycle (Ramaswamy et al. 2000) leaves out what differs between a machine's states, warm or cold, under one load or another,
    without being told of them; the whitening leaves out what scatters from cycle to cycle. `moment` sees a valve that closes a few tenths of a second late,
    which the pieces average away. The values seen at a moment are kept as intervals, parted at the widest gaps, so their
    number does not grow with training. `usual` and the spreads are those of either half of the training cycles against the other.

    A channel's score is the same product of its exact share of |Σ^-½ (f - f_m)|² at the nearest cycle (symmetric root) and its own largest
    moment. Choosing the nearest is a TopK, an ArgMin and two gathers; every operator runs on an accelerator.
    """

    typical: Tensor
    pieces: Tensor
    moments: Tensor
    bank: Tensor
    bank_square: Tensor
    spread: Tensor
    low: Tensor
    high: Tensor
    scale: Tensor
    usual: Tensor
    powers: Tensor

    def __init__(self, shape: Shape, pieces: int, moments: int, bank: int, intervals: int) -> None:
        super().__init__(shape.channels)
        self.register_buffer("typical", torch.zeros(shape.channels, shape.window))
        self.register_buffer("pieces", _averages(shape.window, pieces))
        self.register_buffer("moments", _averages(shape.window, moments))
        features = shape.channels * self.pieces.shape[1]
        self.register_buffer("bank", torch.zeros(bank, features))
        self.register_buffer("bank_square", torch.zeros(bank))
        self.register_buffer("spread", torch.ones(features))
        self.scatter = QuadraticForm(features)
        places = (shape.channels, self.moments.shape[1])
        self.register_buffer("low", torch.zeros(intervals, *places))
        self.register_buffer("high", torch.zeros(intervals, *places))
        self.register_buffer("scale", torch.ones(places))
        self.register_buffer("usual", torch.ones(2, 1 + shape.channels))
        self.register_buffer("powers", torch.full((2, 1), 0.5))

    @torch.no_grad()
    def fit_score(self, windows: Tensor, labels: Tensor) -> None:  # noqa: ARG002 - normal windows only
        typical = torch.zeros_like(self.typical, dtype=torch.float64)
        for part in torch.split(windows, _PART):
            typical += self.normalise(part).double().sum(0) / len(windows)
        self.typical.copy_(typical)
        halves = windows[::2], windows[1::2]
        distances = []
        for known, other in (halves, halves[::-1]):
            self._learn(known)
            distances.append(in_parts(lambda part: self._distances(part).flatten(1), other))
        logs = torch.unflatten(torch.cat(distances).double(), 1, (2, -1)).clamp(min=_ALIKE).log()
        centre = logs.median(0).values
        spread = (logs[..., 0] - centre[:, 0]).abs().median(0).values.clamp(min=_LEAST)
        self.usual.copy_(centre.exp())
        self.powers.copy_((1 / spread / (1 / spread).sum())[:, None])
        self._learn(windows)

    def forward(self, window: Tensor) -> tuple[Tensor, Tensor]:
        ratio = (self._distances(window) / self.usual).clamp(max=FURTHEST**2)
        scores = (ratio.square() + _ALIKE**2).pow(self.powers / 2).prod(1)
        return scores[:, 0], scores[:, 1:]

    def _learn(self, windows: Tensor) -> None:
        """Keep what the normal `windows` are like."""
        pieces = in_parts(self._pieces, windows)
        self.spread.copy_(pieces.double().std(0).clamp(min=_LEAST))
        pieces = pieces / self.spread
        self.scatter.fit(_steps_in_state(pieces))
        self.bank.copy_(pieces[choose(len(pieces), len(self.bank))])
        self.bank_square.copy_(self.scatter.whiten(self.bank).square().sum(1))
        seen = in_parts(self._moments, windows)
        step = seen.diff(dim=0).abs().median(0).values
        self.scale.copy_((step + _SHARE_OF_SPREAD * seen.std(0)).clamp(min=_LEAST))
        self._keep_intervals(seen)

    def _keep_intervals(self, seen: Tensor) -> None:
        """Part the values [n, channels, moments] seen at each moment at their widest gaps; with fewer values some intervals are the same."""
        values = seen.sort(0).values
        cuts = min(len(self.low), len(values)) - 1
        gaps = values.diff(dim=0).topk(cuts, dim=0).indices.sort(0).values
        low = torch.cat([values[:1], values.gather(0, gaps + 1)])
        high = torch.cat([values.gather(0, gaps), values[-1:]])
        spare = len(self.low) - len(low)
        self.low.copy_(torch.cat([low, low[-1:].expand(spare, -1, -1)]))
        self.high.copy_(torch.cat([high, high[-1:].expand(spare, -1, -1)]))

    def _distances(self, window: Tensor) -> Tensor:
        """Whole and moment [batch, 2, 1 + channels]: of all channels, and of each."""
        pieces = self._pieces(window) / self.spread
        products = torch.matmul(self.scatter.whiten(self.scatter.whiten(pieces)), self.bank.T)
        near = (self.bank_square - 2 * products).topk(min(_CANDIDATES, len(self.bank)), dim=1, largest=False).indices
        difference = torch.matmul(pieces.unsqueeze(1) - self.bank[near], self.scatter.root)
        shares = torch.unflatten(difference.square(), 2, (-1, self.pieces.shape[1])).mean(3)
        nearest = shares.sum(2).argmin(1)[:, None, None].expand(-1, 1, shares.shape[2])
        shares = shares.gather(1, nearest).squeeze(1)
        seen = self._moments(window).unsqueeze(1)
        beyond = torch.maximum(self.low - seen, seen - self.high).amin(1).clamp(min=0)
        moment = (beyond / self.scale).amax(2)
        whole = torch.cat([shares.mean(1, keepdim=True), shares], 1).sqrt()
        return torch.stack([whole, torch.cat([moment.amax(1, keepdim=True), moment], 1)], 1)

    def _pieces(self, window: Tensor) -> Tensor:
        return self._means(window, self.pieces).flatten(1)

    def _moments(self, window: Tensor) -> Tensor:
        return self._means(window, self.moments)

    def _means(self, window: Tensor, parts: Tensor) -> Tensor:
        """Means of `parts`, of the difference to the typical cycle. Both are taken from the middle of the range, so that sums are of
        small numbers: the scatter of a cycle can be a hundredth of what a change of state does, and float32 has seven digits.
        """
        z = self.normalise(window) - self.typical
        middle = (z.amax(2, keepdim=True) + z.amin(2, keepdim=True)) / 2
        return torch.matmul(z - middle, parts) + middle


def _averages(window: int, parts: int) -> Tensor:
    """What averages `window` cells into at most `parts` parts of (nearly) the same length, [window, parts]."""
    parts = min(parts, window)
    part = torch.arange(window) * parts // window
    member = (part[:, None] == torch.arange(parts)).float()
    return member / member.sum(0)


def _steps_in_state(pieces: Tensor) -> Tensor:
    """Differences of successive cycles [n, features], as of one cycle; the long ones, where the machine changed its state, are left out."""
    steps = pieces.diff(dim=0) / 2**0.5
    squares = steps.square().sum(1)
    return steps[squares <= _SAME_STATE * squares.median()]


FAMILY = Family(
    "cycle-neighbours",
    CycleNeighbours,
    {
        "pieces": Option(12, low=2, high=30),
        "moments": Option(300, low=10, high=600, log=True),
        "bank": Option(1024, low=64, high=4096, log=True),
        "intervals": Option(16, low=1, high=64, log=True),
    },
)
