"""A linear forecast of all channels from all channels, judged by the covariance of its errors: relations and dynamics in one."""

from __future__ import annotations

import torch
from torch import Tensor

from export.models.detector import Detector, across_channels
from export.models.family import Family, Option, Shape
from export.models.quadratic_form import QuadraticForm

_MOST_ROWS = 100_000
_LEAST_FREEDOM = 0.05  # of a row: one that the forecast was bent to tells nothing of its error


class VectorAutoregression(Detector):
    """The mean Mahalanobis distance of one-step forecast errors over the window.

        e_t = z_t - Σ_{k=1..order} A_k z_{t-k}          Ê_t = e_t / (1 - h_t)
        channel_score_c = mean_t (Σ^-½ e_t)_c² / channels          score = Σ_c channel_score_c

    A by ridge regression (Hoerl and Kennard 1970) with `ridge` rows' worth of zeros; h_t is the leverage of training row t, so that Ê are the errors
    of forecasts that have not seen their row (Allen 1974), and Σ is their covariance as Ledoit and Wolf 2004 shrink it. Monitoring by
    residuals of a multivariate autoregression: Lütkepohl 2005; the shares of the channels add up without remainder
    (Alcala and Qin 2009). Averaging over the window sees a lasting change of relation, dynamics or noise; an offset
    that the process carries on as its own dynamics would is not seen. Every operator runs on an accelerator.
    """

    ahead: Tensor

    def __init__(self, shape: Shape, order: int, ridge: float) -> None:
        super().__init__(shape.channels)
        self._order = min(order, shape.window - 1)
        self._ridge = ridge
        self.register_buffer("ahead", torch.zeros(self._order, shape.channels, shape.channels))
        self.errors = QuadraticForm(shape.channels)

    @torch.no_grad()
    def fit_score(self, windows: Tensor, labels: Tensor) -> None:  # noqa: ARG002 - normal windows only
        past, now = self._rows(self.normalise(windows))
        gram = past.T @ past + self._ridge * torch.eye(past.shape[1], dtype=past.dtype)
        weights = torch.linalg.solve(gram, past.T @ now)
        leverage = (torch.linalg.solve(gram, past.T).T * past).sum(1)
        error = (now - past @ weights) / (1 - leverage).clamp(min=_LEAST_FREEDOM)[:, None]
        self.ahead.copy_(torch.unflatten(weights, 0, self.ahead.shape[:2]).transpose(1, 2))
        self.errors.fit(error[:, :, None])

    def forward(self, window: Tensor) -> tuple[Tensor, Tensor]:
        z = self.normalise(window)
        error = z[:, :, self._order :]
        for back in range(1, self._order + 1):
            error = error - across_channels(self.ahead[back - 1], z[:, :, self._order - back : -back])
        channel_score = across_channels(self.errors.root, error).square().mean(2) / z.shape[1]
        return channel_score.sum(1), channel_score

    def _rows(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Past [n, order x channels] and present [n, channels], each row of the recording once however windows overlap."""
        pieces = z.unfold(2, self._order + 1, 1).permute(0, 2, 3, 1).flip(2).flatten(2).flatten(0, 1)
        pieces = torch.unique(pieces[:: max(1, -(-len(pieces) // _MOST_ROWS))], dim=0).double()
        return pieces[:, z.shape[1] :], pieces[:, : z.shape[1]]


FAMILY = Family(
    "vector-autoregression",
    VectorAutoregression,
    {"order": Option(2, low=1, high=8), "ridge": Option(100.0, low=1.0, high=10_000.0, log=True)},
    permutes=True,
)
