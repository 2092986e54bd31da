"""How few random cuts set a window's features apart from those of training windows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.ensemble import IsolationForest
from torch import Tensor

from export.models.detector import Detector
from export.models.family import Family, Option, Shape
from export.models.features import WindowFeatures, in_parts
from export.models.soft_forest import Float64Array, SoftForest

_KINDS = ("level", "spread")
_LEAST = 1e-3
# A feature that never moves cannot be cut: noise of this size, in its own unit, lets trees ask for it.
_RESOLUTION = 1e-2


class IsolationTrees(Detector):
    """Isolation forest (Liu, Ting and Zhou 2008) on window features, with the rule of insertion for what lies outside.

    h is the mean over scikit-learn's trees of the path length, c(n) of theirs added at a leaf of n samples; h₀ and σ_h are its mean
    and deviation on normal windows. Trees never cut beyond the training data, so a window far outside ends in the same leaf as the
    outermost normal one. There a random cut between a window and the box of the training features falls into the gap, for each
    level, with odds Σ_i gap_i : Σ_i range_i (random cut forest, Guha et al. 2016); to first order the path gets shorter by
    h₀² times them:

        score = softplus((h₀ - h) / σ_h) + h₀² / σ_h · Σ_i gap_i / Σ_i range_i
        channel_score_c = softplus(δ_c / σ_c) + h₀² / σ_h · Σ_{i of c} gap_i / Σ_i range_i

    with δ_c what cuts in channel c's features took from the path, exactly additive (`export.models.soft_forest`), and σ_c its normal
    deviation. The graph holds standard operators alone, without a loop or a sort.
    """

    depth_scale: Tensor
    channel_centre: Tensor
    channel_scale: Tensor
    low: Tensor
    high: Tensor
    gap_weight: Tensor

    def __init__(self, shape: Shape, trees: int, samples: int) -> None:
        super().__init__(shape.channels)
        self._samples = samples
        self.features = WindowFeatures(shape.channels, shape.window, _KINDS)
        self.forest = SoftForest(shape.channels, trees, max(math.ceil(math.log2(samples)), 1))
        self.register_buffer("depth_scale", torch.ones(()))
        self.register_buffer("channel_centre", torch.zeros(shape.channels))
        self.register_buffer("channel_scale", torch.ones(shape.channels))
        self.register_buffer("low", torch.zeros(shape.channels * len(_KINDS)))
        self.register_buffer("high", torch.zeros(shape.channels * len(_KINDS)))
        self.register_buffer("gap_weight", torch.zeros(()))

    @torch.no_grad()
    def fit_score(self, windows: Tensor, labels: Tensor) -> None:  # noqa: ARG002 - normal windows only
        features = self.features.fit(windows, self.normalise).flatten(1)
        still = features.std(0) < _LEAST
        samples = torch.where(still, _RESOLUTION * torch.randn_like(features), features).double()
        self.low.copy_(samples.amin(0))
        self.high.copy_(samples.amax(0))
        depth = self._fit_trees(samples.numpy(), [index // len(_KINDS) for index in range(features.shape[1])])
        taken = -in_parts(self.forest, features).double()
        self.channel_centre.copy_(taken.mean(0))
        self.channel_scale.copy_(taken.std(0).clamp(min=_LEAST))
        self.depth_scale.copy_(taken.sum(1).std().clamp(min=_LEAST))
        ranges = (self.high - self.low).sum()
        self.gap_weight.copy_(depth**2 / self.depth_scale / ranges)

    def forward(self, window: Tensor) -> tuple[Tensor, Tensor]:
        features = self.features(self.normalise(window)).flatten(1)
        taken = -self.forest(features) - self.channel_centre
        outside = (self.low - features).clamp(min=0) + (features - self.high).clamp(min=0)
        gap = self.gap_weight * torch.unflatten(outside, 1, (-1, len(_KINDS))).sum(2)
        score = F.softplus(taken.sum(1) / self.depth_scale) + gap.sum(1)
        return score, F.softplus(taken / self.channel_scale) + gap

    def _fit_trees(self, samples: Float64Array, channel_of: list[int]) -> float:
        """Grow the trees and take them over; returns the mean path length of the training windows."""
        seed = int(torch.randint(2**31 - 1, ()))
        samples_each = min(self._samples, len(samples))
        forest = IsolationForest(n_estimators=self.forest.trees, max_samples=samples_each, random_state=seed)
        trees = [tree.tree_ for tree in forest.fit(samples).estimators_]
        self.forest.fit(trees, [_path_lengths(tree) for tree in trees], channel_of)
        return float(self.forest.base + in_parts(self.forest, torch.from_numpy(samples).float()).sum(1).mean())


def _path_lengths(tree: Any) -> Float64Array:
    """How many more cuts a sample at each node needs in the mean [nodes]: to a leaf, and c(n) for the n samples there."""
    lengths = _unsuccessful(tree.n_node_samples)
    depth = np.zeros(tree.node_count)
    for node in range(tree.node_count):  # a child is numbered after its parent
        for child in (tree.children_left[node], tree.children_right[node]):
            if child != -1:
                depth[child] = depth[node] + 1
    lengths = lengths + depth
    for node in reversed(range(tree.node_count)):
        if tree.children_left[node] != -1:
            children = [tree.children_left[node], tree.children_right[node]]
            lengths[node] = np.average(lengths[children], weights=tree.n_node_samples[children])
    return lengths


def _unsuccessful(n: Any) -> Float64Array:
    """c(n), the mean length of an unsuccessful search in a binary tree of n samples (Liu, Ting and Zhou 2008, equation 1)."""
    n = np.asarray(n, np.float64)
    harmonic = np.log(np.maximum(n - 1, 1)) + np.euler_gamma
    return np.where(n > 2, 2 * harmonic - 2 * (n - 1) / np.maximum(n, 1), np.where(n == 2, 1.0, 0.0))


FAMILY = Family(
    "isolation-forest",
    IsolationTrees,
    {
        "trees": Option(64, low=16, high=256, log=True),
        "samples": Option(128, low=16, high=256, log=True),
    },
)
