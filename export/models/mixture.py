"""One Gaussian of window features for each operating state, so that one model serves all speeds and loads of a machine."""

from __future__ import annotations

import torch
from sklearn.cluster import KMeans
from sklearn.covariance import ledoit_wolf
from torch import Tensor

from export.models.detector import Detector
from export.models.family import Family, Option, Shape
from export.models.features import WindowFeatures

_KINDS = {
    "spread+roughness": ("spread", "roughness"),
    "level+spread": ("level", "spread"),
    "level+spread+roughness": ("level", "spread", "roughness"),
}
_LEAST_VARIANCE = 1e-4  # of a feature's variance over all states
_RESTARTS = 10


class Mixture(Detector):
    """The distance to the nearest operating state, by that state's own covariance.

    With f the n window features (`export.models.features`), μ_k, Σ_k and π_k centre, covariance and share of state k,

        d²_k = ((f - μ_k)ᵀ Σ_k⁻¹ (f - μ_k) + ln |Σ_k| - 2 ln π_k) / n + constant          score = min_k d²_k
        channel_score_c = the share of channel c in the quadratic form of the nearest state (Alcala and Qin 2009)

    -2 ln of the densest component of a Gaussian mixture (Dempster, Laird and Rubin 1977), its states found by k-means (Lloyd 1982); the constant makes
    the least possible score 0. Σ_k is shrunk by Ledoit and Wolf 2004 and then to the covariance within all states, by as many windows as it has
    features. `spread+roughness` leaves out the level: a sensor that was mounted anew, or a bias, does not matter then.
    Choosing the state is an ArgMin and a GatherElements; every other operator is a matrix product or elementwise.
    """

    centre: Tensor
    root: Tensor
    offset: Tensor

    def __init__(self, shape: Shape, states: int, features: str) -> None:
        super().__init__(shape.channels)
        kinds = _KINDS[features]
        count = shape.channels * len(kinds)
        self.features = WindowFeatures(shape.channels, shape.window, kinds)
        self.register_buffer("centre", torch.zeros(states, count))
        self.register_buffer("root", torch.eye(count).repeat(states, 1, 1))
        self.register_buffer("offset", torch.zeros(states))

    @torch.no_grad()
    def fit_score(self, windows: Tensor, labels: Tensor) -> None:  # noqa: ARG002 - normal windows only
        f = self.features.fit(windows, self.normalise).flatten(1).double()
        found = KMeans(min(len(self.centre), len(f)), n_init=_RESTARTS, random_state=0).fit(f.numpy())
        state, centre = torch.from_numpy(found.labels_).long(), torch.from_numpy(found.cluster_centers_)
        within = _covariance(f - centre[state])
        offset = torch.full((len(self.centre),), torch.inf, dtype=torch.float64)
        for index, middle in enumerate(centre):
            own = f[state == index] - middle
            blended = (len(own) * _covariance(own) + f.shape[1] * within) / (len(own) + f.shape[1])
            values, vectors = torch.linalg.eigh(blended)
            values = values.clamp(min=_LEAST_VARIANCE)
            self.centre[index] = middle
            self.root[index] = (vectors / values.sqrt()) @ vectors.T
            offset[index] = values.log().sum() - 2 * torch.tensor(len(own) / len(f)).log()
        least = offset.min()
        self.offset.copy_(((offset - least) / f.shape[1]).clamp(max=torch.finfo(torch.float32).max))

    def forward(self, window: Tensor) -> tuple[Tensor, Tensor]:
        f = self.features(self.normalise(window))
        deviation = f.flatten(1) - self.centre.unsqueeze(1)
        whitened = torch.matmul(deviation, self.root).transpose(0, 1)
        shares = torch.unflatten(whitened, 2, f.shape[1:]).square().sum(3) / self.root.shape[1]
        total = shares.sum(2) + self.offset
        nearest = total.argmin(1)[:, None, None].expand(-1, 1, shares.shape[2])
        return total.amin(1), shares.gather(1, nearest).squeeze(1)


def _covariance(deviations: Tensor) -> Tensor:
    """Of deviations [n, d] from their centre; none where there is but one."""
    if len(deviations) < 2:
        return torch.zeros(deviations.shape[1], deviations.shape[1], dtype=deviations.dtype)
    return torch.from_numpy(ledoit_wolf(deviations.numpy(), assume_centered=True)[0])


FAMILY = Family(
    "mixture",
    Mixture,
    {"states": Option(3, low=1, high=16), "features": Option("level+spread+roughness", choices=tuple(_KINDS))},
    permutes=True,
)
