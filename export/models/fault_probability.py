"""A probability of fault, and of each kind, beside the score of a one-class model that labels never touched."""

from __future__ import annotations

import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from agent.errors import ConfigError, Problem
from export.models import FAMILIES, registered
from export.models.classifier import Classifier
from export.models.family import Family, Option, Shape
from export.models.features import in_parts
from export.models.kinds_head import PRIOR, KindsHead

_LEAST = 1e-6
_LEAST_SLOPE = 1e-3  # a score that cannot tell faults from normal operation still keeps its order


class FaultProbability(Classifier):
    """The member's score s and channel scores c as they are, fitted to normal windows alone; with labels there is beside them

        P(fault | s) = 1 / (1 + exp(-(A ln s + B + ln π / (1 - π))))        P(k | s, c) = P(fault | s) softmax_k(w_k · [ln c, ln s] + b_k)

    A > 0 and B are Platt's 1999 calibration, both kinds weighted alike, and π (`prior`) is the share of faults among all windows where the model
    will run: Bayes' rule for class-conditional densities of ln s whose ratio is exponential, as that of two normal distributions of one
    variance is. Which kind it is, the channels say that are strange: logistic regression among the faults (`export.models.kinds_head`). So alarms
    stay what they are without labels, for faults that nobody has labelled too. Operators: the member's, Log and Softmax.
    """

    slope: Tensor
    bias: Tensor
    prior_odds: Tensor

    def __init__(self, shape: Shape, member: str, prior: float) -> None:
        super().__init__(shape.channels)
        self.member = registered(_one_class(member)).new(shape)
        self.member.mean, self.member.std = self.mean, self.std  # one normalisation for both
        self.register_buffer("slope", torch.ones(()))
        self.register_buffer("bias", torch.zeros(()))
        self.register_buffer("prior_odds", torch.tensor(prior / (1 - prior)).log(), persistent=False)
        self.which = KindsHead(shape.channels + 1, shape.kinds - 1, 0.5)

    def fit_input(self, windows: Tensor) -> None:
        super().fit_input(windows)
        self.member.fit_input(windows)

    def loss(self, windows: Tensor, labels: Tensor) -> Tensor:
        if not (labels == 0).any():  # nothing to learn, and yet a gradient for each parameter
            return 0.0 * torch.stack([parameter.sum() for parameter in self.member.parameters()]).sum()
        return self.member.loss(windows[labels == 0], labels[labels == 0])

    @torch.no_grad()
    def fit_score(self, windows: Tensor, labels: Tensor) -> None:
        faulty = labels != 0
        self.member.fit_score(windows[~faulty], labels[~faulty])
        logs = in_parts(lambda part: _logs(*self.member(part)), windows)
        platt = LogisticRegression(class_weight="balanced").fit(logs[:, -1:].double().numpy(), faulty.numpy())
        self.slope.fill_(max(float(platt.coef_[0, 0]), _LEAST_SLOPE))
        self.bias.fill_(float(platt.intercept_[0]))
        self.which.fit(logs[faulty], labels[faulty] - 1)

    def classify(self, window: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        score, channel_score = self.member(window)
        logs = _logs(score, channel_score)
        fault = torch.sigmoid(self.slope * logs[:, -1:] + self.bias + self.prior_odds)
        return score, channel_score, torch.cat([1 - fault, fault * self.which(logs).softmax(1)], 1)


def _logs(score: Tensor, channel_score: Tensor) -> Tensor:
    """Logarithms of the channel scores and, last, of the score [batch, channels + 1]."""
    return torch.cat([channel_score, score.unsqueeze(1)], 1).clamp(min=_LEAST).log()


def _one_class(member: str) -> str:
    """`member`, or ConfigError where it is no family that learns from normal windows alone."""
    if member not in FAMILIES or registered(member).supervised:
        remedy = "name one that learns from normal windows alone, see 'stethos model list'"
        raise ConfigError([Problem("member", f"'{member}' cannot be a member", remedy)])
    return member


FAMILY = Family(
    "fault-probability", FaultProbability, {"member": Option("mahalanobis"), "prior": PRIOR}, supervised=True
)
