"""A Transformer over the patches of a window, that reconstructs each patch while it cannot see it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from export.models.detector import Detector
from export.models.family import Family, Option, Shape
from export.models.patches import Patching
from export.models.residual import ResidualDetector

_PATCHES = 16
_HEADS = 4


class _Block(nn.Module):
    """x + attention(norm x), then x + mlp(norm x)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention_norm, self.mlp_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.mixing = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        parts = self.queries_keys_values(self.attention_norm(x)).chunk(3, dim=2)
        query, key, value = (
            part.reshape(*part.shape[:2], _HEADS, part.shape[2] // _HEADS).transpose(1, 2) for part in parts
        )
        attended = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        x = x + self.mixing(attended)
        mixed: Tensor = self.mlp(self.mlp_norm(x))
        return x + mixed


class PatchTransformer(ResidualDetector):
    """With p_i the (at most 16) patches of a window, all channels together, and m masks that hide every m-th patch, patch i by mask i mod m:

        e_i = W p_i where seen, a learned token where hidden, plus a learned position
        p̂_i = output i of the Transformer under the mask that hides i        r = z - p̂

    scored as ResidualScore says: no patch helps to explain itself, so that a fault cannot be copied. Training draws one mask a window;
    the graph runs all m in one batch of m times as many sequences, so any batch costs m passes. Masked reconstruction: He et al. 2022
    (arXiv:2111.06377); patches as tokens: Nie et al. 2023 (PatchTST, arXiv:2211.14730); pre-norm blocks: Xiong et al. 2020.
    Operators: MatMul, Softmax, LayerNormalization, Gelu, Where; none leaves an accelerator.
    """

    masks: Tensor

    def __init__(self, patching: Patching, width: int, layers: int, masks: int) -> None:
        super().__init__(patching.channels, patching.window)
        self._patching = patching
        hidden = torch.arange(patching.count) % masks == torch.arange(masks)[:, None]
        self.register_buffer("masks", hidden[:, :, None], persistent=False)
        self.embed = nn.Linear(patching.width, width)
        self.position = nn.Parameter(0.02 * torch.randn(patching.count, width))
        self.unseen = nn.Parameter(0.02 * torch.randn(width))
        self.blocks = nn.Sequential(*(_Block(width) for _ in range(layers)))
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, patching.width))

    def explain(self, seen: Tensor) -> Tensor:
        embedded = self.embed(self._patching.cut(seen))
        tokens = torch.where(self.masks, self.unseen, embedded[:, None])
        made = self._fill(tokens.flatten(0, 1)).reshape(*tokens.shape[:3], self._patching.width)
        return self._patching.join((made * self.masks).sum(1))

    def loss(self, windows: Tensor, labels: Tensor) -> Tensor:
        if not self.training:
            return super().loss(windows, labels)
        patches = self._patching.cut(self.see(windows))
        hidden = self.masks[torch.randint(len(self.masks), (len(patches),), device=patches.device)]
        made = self._fill(torch.where(hidden, self.unseen, self.embed(patches)))
        error = (made - patches).square().mean(2, keepdim=True)
        return (error * hidden).sum() / hidden.sum()

    def _fill(self, tokens: Tensor) -> Tensor:
        """The patches [n, count, numbers] that belong to `tokens` [n, count, width], some of them hidden."""
        made: Tensor = self.head(self.blocks(tokens + self.position))
        return made


def _build(shape: Shape, width: int, layers: int, masks: int) -> Detector:
    patching = Patching.at_most(_PATCHES, shape.channels, shape.window)
    return PatchTransformer(patching, width, layers, min(masks, patching.count))


FAMILY = Family(
    "patch-transformer",
    _build,
    {"width": Option(32, choices=(16, 32, 64, 128)), "layers": Option(2, 1, 4), "masks": Option(4, 2, 8)},
)
