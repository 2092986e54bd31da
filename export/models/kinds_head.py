"""From what a model represents to kinds: logistic regression in closed form, its probabilities at a stated prior, log-odds as score."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from torch import Tensor, nn

from export.models.family import Option
from export.models.subsequences import choose

PRIOR = Option(0.5, low=1e-4, high=0.9999, searched=False)

_FOLDS = 4
_LEARNED = 10_000  # windows at most
_STEPS = 2_000
_TOLERANCE = 1e-3
_NEVER = 30.0  # nats below normal: a kind without any example
_LEAST_SPREAD = 0.02  # all that is represented is of the order of 1; what moves less must not weigh rounding
_TEMPERATURES = np.geomspace(1, 16, 33)  # blocks that happen to be told apart are no reason to be surer

Float64Array = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]


class KindsHead(nn.Module):
    """Evidence l [batch, kinds] for normal operation and each kind of fault, linear in φ [batch, features], every kind weighted alike.

        l = (W φ + b) / T        P(k | φ) = softmax_k(l_k + ln π_k),   π_0 = 1 - π,   π_k = π / (kinds - 1)
        odds = Σ_{k>0} π_k exp l_k / (π_0 exp l_0)        score = ln(1 + odds / odds of the median normal window)

    W and b are multinomial logistic regression with a ridge of 1 on standardised features; T makes the probabilities those of
    blocks of time that the regression had not seen (temperature scaling, Guo et al. 2017). π (`prior`) is the share of faults among all windows
    where the model will run (Bayes; Saerens, Latinne and Decaestecker 2002). It moves the probabilities and not the score, which
    goes on growing where a probability would be 1 to the last bit, so that a tail can be fitted to it.
    """

    weight: Tensor
    bias: Tensor
    log_prior: Tensor
    usual: Tensor

    def __init__(self, features: int, kinds: int, prior: float) -> None:
        super().__init__()
        shares = [1 - prior, *[prior / max(1, kinds - 1)] * (kinds - 1)]
        self.register_buffer("weight", torch.zeros(features, kinds))
        self.register_buffer("bias", torch.zeros(kinds))
        self.register_buffer("log_prior", torch.tensor(shares).log(), persistent=False)
        self.register_buffer("usual", torch.zeros(()))

    @torch.no_grad()
    def fit(self, represented: Tensor, labels: Tensor) -> None:
        """Learn from φ [n, features] and labels int64 [n]; a kind without an example is never probable."""
        chosen = choose(len(labels), min(len(labels), _LEARNED)).sort().values
        samples, kinds = represented[chosen].double().numpy(), labels[chosen].numpy()
        mean, spread = samples.mean(0), np.maximum(samples.std(0), _LEAST_SPREAD)
        weight, bias, present = _regression((samples - mean) / spread, kinds)
        self.weight.zero_()[:, present] = torch.from_numpy(weight.T / spread[:, None]).float()
        self.bias.fill_(-_NEVER)[present] = torch.from_numpy(bias - weight @ (mean / spread)).float()

    @torch.no_grad()
    def fit_usual(self, represented: Tensor) -> None:
        """Learn what normal windows [n, features] come to."""
        self.usual.copy_(self.log_odds(self(represented)).median())

    def forward(self, represented: Tensor) -> Tensor:
        evidence: Tensor = torch.matmul(represented, self.weight) + self.bias
        return evidence

    def probability(self, evidence: Tensor) -> Tensor:
        """Of each kind [batch, kinds]."""
        return (evidence + self.log_prior).softmax(1)

    def log_odds(self, evidence: Tensor) -> Tensor:
        """The logarithm of the odds of any fault against normal operation [batch]."""
        posterior = evidence + self.log_prior
        return posterior[:, 1:].logsumexp(1) - posterior[:, 0]

    def score(self, log_odds: Tensor) -> Tensor:
        """In nats above the median normal window, never below 0."""
        return F.softplus(log_odds - self.usual)


def _regression(samples: Float64Array, kinds: Int64Array) -> tuple[Float64Array, Float64Array, Int64Array]:
    """Weights [present kinds, features] and biases [present kinds], divided by the temperature, and which kinds are present."""
    present, counts = np.unique(kinds, return_counts=True)
    if len(present) == 1:
        return np.zeros((1, samples.shape[1])), np.zeros(1), present
    machine = LogisticRegression(class_weight="balanced", max_iter=_STEPS, tol=_TOLERANCE)
    temperature = 1.0
    if counts.min() > 1:
        # Unshuffled: each fold is a block of time of each kind, so that windows which overlap stay together.
        folds = StratifiedKFold(min(_FOLDS, int(counts.min())))
        unseen = cross_val_predict(machine, samples, kinds, cv=folds, method="decision_function")
        decided = _of_each(unseen[None] if unseen.ndim == 1 else unseen.T)
        temperature = _temperature(decided, np.searchsorted(present, kinds), counts)
    machine.fit(samples, kinds)
    return _of_each(machine.coef_) / temperature, _of_each(machine.intercept_) / temperature, present


def _of_each(rows: Float64Array) -> Float64Array:
    """One row a kind; scikit-learn gives two kinds one row, that of the second."""
    return np.concatenate([np.zeros_like(rows), rows]) if len(rows) == 1 else rows


def _temperature(decided: Float64Array, kind: Int64Array, counts: Int64Array) -> float:
    """The one at which `decided` [kinds, n] is the most probable, every kind weighted alike."""
    logits, weight = torch.from_numpy(decided.T), torch.from_numpy(1 / counts)
    target = torch.from_numpy(kind)
    losses = [float(F.cross_entropy(logits / each, target, weight=weight)) for each in _TEMPERATURES]
    best = int(np.argmin(losses))
    return float(_TEMPERATURES[best]) if math.isfinite(losses[best]) else 1.0
