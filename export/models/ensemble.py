"""Several families as one: each member's score becomes evidence against normal operation, and the evidence is averaged."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from agent.errors import ConfigError, Problem
from export.models import FAMILIES, registered
from export.models.detector import Detector
from export.models.family import Family, Option, Shape
from export.models.p_value import Evidence

_FOLDS = 4
_PART = 256
_BY = ("p-value", "rank")
_LEAST_SCORE = 1e-9


class Ensemble(Detector):
    """The mean evidence of the members, e_m = -ln p_m of member m's score among those of normal windows (`export.models.p_value`).

        by p-value: score = mean_m e_m               by rank: score = mean_m (1 - exp(-e_m))
        channel_score_c = mean_m (evidence of m · channel_score_mc / Σ_c channel_score_mc),  so score = Σ_c channel_score_c

    Sums of -ln p follow Fisher 1932 (a mean, as the members are not independent: calibration answers for the threshold); ranks, which one sure
    member cannot dominate, Aggarwal and Sathe 2015. Normal scores are taken by cross-fitting: each of 4 blocks of windows is
    scored by members fitted on the other three, because a member scores its own training windows too low
    (cross-conformal prediction, Vovk 2015). One graph holds all members; which operators leave an accelerator is theirs to say.
    """

    def __init__(self, shape: Shape, members: str, by: str) -> None:
        super().__init__(shape.channels)
        self._by_rank = by == "rank"
        self.members = nn.ModuleList(registered(name).new(shape) for name in _names(members))
        for member in self._each():  # one normalisation for all
            member.mean, member.std = self.mean, self.std
        self.evidence = Evidence(len(self.members))

    def fit_input(self, windows: Tensor) -> None:
        super().fit_input(windows)
        for member in self._each():
            member.fit_input(windows)

    def loss(self, windows: Tensor, labels: Tensor) -> Tensor:
        losses = [member.loss(windows, labels) for member in self._each() if list(member.parameters())]
        return torch.stack(losses).sum()

    @torch.no_grad()
    def fit_score(self, windows: Tensor, labels: Tensor) -> None:
        blocks = torch.arange(len(windows)).chunk(_FOLDS)
        unseen = []
        for block in blocks:
            kept = torch.ones(len(windows), dtype=torch.bool)
            kept[block] = False
            others = [copy.deepcopy(member) for member in self._each()]
            for member in others:
                member.fit_score(windows[kept], labels[kept])
            unseen += [_scores(others, part)[0] for part in torch.split(windows[block], _PART)]
        self.evidence.fit(torch.cat(unseen))
        for member in self._each():
            member.fit_score(windows, labels)

    def forward(self, window: Tensor) -> tuple[Tensor, Tensor]:
        scores, channel_scores = _scores(self._each(), window)
        evidence = self.evidence(scores)
        if self._by_rank:
            evidence = 1 - (-evidence).exp()
        shares = channel_scores / channel_scores.sum(2, keepdim=True).clamp(min=_LEAST_SCORE)
        channel_score = (evidence.unsqueeze(2) * shares).mean(1)
        return evidence.mean(1), channel_score

    def _each(self) -> list[Detector]:
        return [member for member in self.members if isinstance(member, Detector)]


def _scores(members: list[Detector], windows: Tensor) -> tuple[Tensor, Tensor]:
    """Score [batch, members] and channel_score [batch, members, channels]."""
    scores, channel_scores = zip(*(member(windows) for member in members), strict=True)
    return torch.stack(scores, 1), torch.stack(channel_scores, 1)


def _names(members: str) -> list[str]:
    """The families named in "a+b+c"; raises ConfigError for one that is unknown, supervised, or an ensemble itself."""
    names = [name.strip() for name in members.split("+")]
    for name in names:
        if name not in FAMILIES or name == "ensemble" or registered(name).supervised:
            possible = ", ".join(sorted(known for known in FAMILIES if known != "ensemble"))
            raise ConfigError(
                [
                    Problem(
                        "members",
                        f"'{name}' cannot be a member",
                        f"name unsupervised families of {possible}, as in a+b",
                    )
                ]
            )
    return names


FAMILY = Family(
    "ensemble",
    Ensemble,
    {"members": Option("mahalanobis+spectral-bands+nearest-subsequence"), "by": Option("p-value", choices=_BY)},
)
