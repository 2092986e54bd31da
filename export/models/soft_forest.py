"""Decision trees as tensor operations: every node of every tree at once, with splits that have a width."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

Float64Array = npt.NDArray[np.float64]

# In standard deviations of the feature. A split without width turns the last bit of a feature into another leaf, and two
# runtimes, or one with TF32, into two scores.
_WIDTH = 0.1
_NEVER = 1e30


class SoftForest(nn.Module):
    """From features [batch, n] to what each channel adds to the mean over the trees [batch, channels], and the trees' `base`.

    Each tree is a complete one of fixed depth; a shorter branch goes on to the left, where nothing changes. A node sends

        g = clamp((x_feature - threshold) / 0.1 + ½, 0, 1)

    of what reaches it to the right and 1 - g to the left. With v the value of a node (its leaves' mean over the training samples),
    each step from parent to child adds v_child - v_parent to the channel whose feature the parent asks for (Saabas 2014;
    Palczewska et al. 2013): base + Σ_c added_c is the forest's mean exactly. All nodes are computed, level by level:
    standard elementwise operators and one matrix product. This is the dear way on a CPU: TreeEnsemble of ai.onnx.ml (skl2onnx) scores a random
    forest of this size some thirty times faster, but gives neither shares nor splits with a width. skl2onnx's graph of an
    isolation forest, 1,700 nodes, is about as fast as this one.
    """

    feature: Tensor
    threshold: Tensor
    gain: Tensor
    base: Tensor

    def __init__(self, channels: int, trees: int, depth: int) -> None:
        super().__init__()
        self.depth = depth
        self.trees = trees
        nodes = 2**depth - 1
        self.register_buffer("feature", torch.zeros(nodes * trees, dtype=torch.int64))
        self.register_buffer("threshold", torch.full((nodes * trees,), _NEVER))
        self.register_buffer("gain", torch.zeros(2 * nodes * trees, channels))
        self.register_buffer("base", torch.zeros(()))

    def fit(self, trees: Sequence[Any], values: Sequence[Float64Array], channel_of: Sequence[int]) -> None:
        """Take over scikit-learn's `tree_` objects, each with the `values` [nodes] of its nodes; feature i belongs to `channel_of[i]`."""
        complete = [_complete(tree, value, self.depth) for tree, value in zip(trees, values, strict=True)]
        # level by level, and within a level by place in the tree and then by tree: so `forward` can stack children
        feature, threshold, gains = (np.stack(part, -1) for part in zip(*complete, strict=True))
        self.feature.copy_(torch.from_numpy(feature.ravel()))
        self.threshold.copy_(torch.from_numpy(threshold.ravel()))
        channel = np.asarray(channel_of)[feature]
        per_channel = np.eye(self.gain.shape[1])[channel][:, None] * gains[..., None]
        self.gain.copy_(torch.from_numpy(_by_level(per_channel, self.depth).reshape(self.gain.shape)) / self.trees)
        self.base.fill_(float(np.mean([value[0] for value in values])))

    def forward(self, features: Tensor) -> Tensor:
        asked = features[:, self.feature]
        right = ((asked - self.threshold) * (1 / _WIDTH) + 0.5).clamp(0, 1)
        reach = torch.ones_like(right[:, : self.trees])
        reached = []
        for level in range(self.depth):
            first, last = (2**level - 1) * self.trees, (2 ** (level + 1) - 1) * self.trees
            to_right = reach * right[:, first:last]
            reach = torch.cat([reach - to_right, to_right], 1)
            reached.append(reach)
        return torch.matmul(torch.cat(reached, 1), self.gain)


def _by_level(per_child: npt.NDArray[Any], depth: int) -> npt.NDArray[Any]:
    """[nodes, 2 (left, right), trees, channels] in the order of `forward`: a level's left children before its right ones."""
    levels = [per_child[2**level - 1 : 2 ** (level + 1) - 1] for level in range(depth)]
    return np.concatenate([level.swapaxes(0, 1).reshape(-1, *level.shape[2:]) for level in levels])


def _complete(tree: Any, value: Float64Array, depth: int) -> tuple[npt.NDArray[Any], ...]:
    """Feature and threshold [2^depth - 1] and gains to the left and right child [2^depth - 1, 2] of a tree filled up to `depth`.

    Within a level, node i has its left child at place i of the next and its right one at i + 2^level.
    """
    feature = np.zeros(2**depth - 1, np.int64)
    threshold = np.full(2**depth - 1, _NEVER)
    gains = np.zeros((2**depth - 1, 2))
    level = [0]
    for step in range(depth):
        left, right = [], []
        for place, node in enumerate(level, 2**step - 1):
            children = tree.children_left[node], tree.children_right[node]
            if children[0] == -1:
                children = node, node
            else:
                feature[place], threshold[place] = tree.feature[node], tree.threshold[node]
            gains[place] = [value[child] - value[node] for child in children]
            left.append(children[0])
            right.append(children[1])
        level = left + right
    return feature, threshold, gains
