"""What a machine is doing, off, idle or under load: told by a condition over its channels, or by which known level its window is at."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from agent.decide.expression import Cells, Expression
from agent.types import Float32Array

Float64Array = npt.NDArray[np.float64]
UNKNOWN = "unknown"

# What a window of values [channels, time] is in; None within a transition, and where no known state fits.
StateOf = Callable[[Float32Array], str | None]

_MOST_STATES = 5
_MOST_POINTS = 1_500  # of which the silhouette is taken, which needs all distances between them
_ROUNDS = 50
# A blob cut in two has a mean silhouette of about 0.6 (one Gaussian channel); states that are apart have more.
_SEPARATE = 0.7
_ZONE = 0.1  # of the way from one centre to the next
_MOST_BETWEEN = 0.3  # points half way, for each about a centre; one cloud cut in two has about as many
_STAYS = 0.8  # of windows have the state of the one before: what lasts for less than five is no state
_FEWEST_SHARE = 0.02  # of all windows, below which a group is an accident and no state
_REACH = 5.0  # median distances from its centre within which a window is in a state


class OperatingState(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One group of window levels: its centre, a mean a channel in its unit, and how far it reaches, in units of `OperatingStates.scale`."""

    name: str
    centre: list[float]
    radius: float


class OperatingStates(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The states found in training; distances are Euclidean after division of each channel by its `scale`."""

    scale: list[float]
    states: list[OperatingState]


def by_condition(conditions: Sequence[tuple[str, Expression]], rate_hz: float) -> StateOf:
    """The first state whose condition holds in every cell of the window."""

    def state_of(values: Float32Array) -> str | None:
        cells = Cells(values.astype(np.float64), rate_hz)
        for name, condition in conditions:
            held = np.asarray(condition(cells), np.float64)
            if (np.isfinite(held) & (held != 0)).all():
                return name
        return None

    return state_of


def by_level(known: OperatingStates) -> StateOf:
    """The state whose centre is nearest, where the window is within its reach."""
    scale = np.array(known.scale)
    centres = np.array([state.centre for state in known.states]) / scale

    def state_of(values: Float32Array) -> str | None:
        distances = np.sqrt(((centres - values.mean(axis=1, dtype=np.float64) / scale) ** 2).sum(axis=1))
        nearest = int(np.argmin(distances))
        return known.states[nearest].name if distances[nearest] <= known.states[nearest].radius else None

    return state_of


def cluster(levels: Float64Array, seed: int = 0) -> OperatingStates | None:
    """States from the mean levels [n, channels] of normal windows in their order; None where they are all one. Names tell the states' order in
    the first channel.

    k-means from spread-out starts (Arthur, Vassilvitskii 2007), with the number of groups of the best mean silhouette (Rousseeuw 1987)
    among those that are apart. A channel counts by how far it is from state to state beside how much it moves from window to window.
    """
    scale = np.median(np.abs(np.diff(levels, axis=0)), axis=0)
    scale = np.where(scale > 0, scale, np.where(levels.std(axis=0) > 0, levels.std(axis=0), 1.0))
    points = levels / scale
    if len(points) < 2 * _MOST_STATES:
        return None
    rng = np.random.default_rng(seed)
    sample = points[rng.choice(len(points), min(len(points), _MOST_POINTS), replace=False)]
    gaps = np.sqrt(np.maximum(_squares(sample, sample), 0.0))
    best, centres = _SEPARATE, None
    for count in range(2, _MOST_STATES + 1):
        found = _k_means(sample, count, rng)
        groups = np.argmin(_squares(sample, found), axis=1)
        if np.bincount(groups, minlength=count).min() < _FEWEST_SHARE * len(sample):
            continue
        quality = _silhouette(gaps, groups)
        if quality > best and _are_apart(sample, found) and _last(points, found):
            best, centres = quality, found
    if centres is None:
        return None
    return _states(points, centres[np.argsort(centres[:, 0])], scale)


def _states(points: Float64Array, centres: Float64Array, scale: Float64Array) -> OperatingStates:
    squares = _squares(points, centres)
    groups, distances = np.argmin(squares, axis=1), np.sqrt(np.maximum(squares.min(axis=1), 0.0))
    between = np.sqrt(np.maximum(_squares(centres, centres), 0.0))
    np.fill_diagonal(between, np.inf)
    states = []
    for index, centre in enumerate(centres):
        reach = _REACH * float(np.median(distances[groups == index]))
        # Not half way to the next: what lies there is on its way from the one to the other.
        radius = min(reach, 0.4 * float(between[index].min()))
        states.append(
            OperatingState(name=f"state-{index + 1}", centre=(centre * scale).tolist(), radius=max(radius, 1e-9))
        )
    return OperatingStates(scale=scale.tolist(), states=states)


def _k_means(points: Float64Array, count: int, rng: np.random.Generator) -> Float64Array:
    centres = points[rng.integers(len(points))][None]
    while len(centres) < count:
        nearest = np.maximum(_squares(points, centres).min(axis=1), 0.0)
        total = nearest.sum()
        chosen = rng.choice(len(points), p=nearest / total) if total > 0 else rng.integers(len(points))
        centres = np.concatenate([centres, points[chosen][None]])
    for _ in range(_ROUNDS):
        groups = np.argmin(_squares(points, centres), axis=1)
        moved: Float64Array = np.array(
            [points[groups == each].mean(axis=0) if (groups == each).any() else centres[each] for each in range(count)],
            np.float64,
        )
        if np.allclose(moved, centres):
            break
        centres = moved
    return np.asarray(centres)


def _silhouette(gaps: Float64Array, groups: npt.NDArray[np.intp]) -> float:
    """The mean over all points; `gaps` are the distances between them [n, n]."""
    members = np.eye(groups.max() + 1)[groups]
    sizes = members.sum(axis=0)
    sums = gaps @ members
    rows = np.arange(len(groups))
    own = sums[rows, groups] / np.maximum(sizes[groups] - 1, 1)
    means = sums / sizes
    means[rows, groups] = np.inf
    other = means.min(axis=1)
    return float(((other - own) / np.maximum(np.maximum(own, other), 1e-300)).mean())


def _are_apart(points: Float64Array, centres: Float64Array) -> bool:
    """Whether few points lie half way between any centre and the one next to it: what moves to and fro all the time has no states."""
    groups = np.argmin(_squares(points, centres), axis=1)
    between = _squares(centres, centres)
    np.fill_diagonal(between, np.inf)
    for one, other in enumerate(np.argmin(between, axis=1)):
        way = centres[other] - centres[one]
        pair = points[(groups == one) | (groups == other)]
        place = (pair - centres[one]) @ way / (way @ way)
        middle = (np.abs(place - 0.5) < _ZONE).sum()
        ends = min((np.abs(place) < _ZONE).sum(), (np.abs(place - 1) < _ZONE).sum())
        if middle > _MOST_BETWEEN * ends:
            return False
    return True


def _last(points: Float64Array, centres: Float64Array) -> bool:
    """Whether the machine mostly stays in a state from one window to the next."""
    groups = np.argmin(_squares(points, centres), axis=1)
    return bool((groups[1:] == groups[:-1]).mean() >= _STAYS)


def _squares(points: Float64Array, centres: Float64Array) -> Float64Array:
    """Squared distances [points, centres]."""
    squares: Float64Array = (points**2).sum(axis=1)[:, None] - 2 * points @ centres.T + (centres**2).sum(axis=1)
    return squares
