"""A distribution in about sixty numbers: how many values lie in each of some cells, to be added to those of other times and places."""

from __future__ import annotations

import base64
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

Float64Array = npt.NDArray[np.float64]

# A cell spans at most this much of the angle asin(sqrt(f)), f the fraction of values below: narrow at both ends, where quantiles are
# asked of, as the scale k1 of the t-digest (Dunning and Ertl 2019). The quarter circle has 50.3 of them; two neighbours span more
# than one, and so does a bucket that is a cell of its own with an empty one beside it.
_STEP = 1 / 32
MOST_CELLS = 104
_ROUNDING = 1e-12


class Cells(msgspec.Struct, frozen=True, kw_only=True):
    """How many values lie between each two neighbours of some increasing values; those of several summaries are added cell by cell.

    `data` is base64 of little-endian float32 [cells + 1] edges, then uint32 [cells] counts; `cells` is at most 104. A quantile, read by going
    straight through each cell, is that of a fraction which differs from the one asked for by at most 1/32 in asin(sqrt(fraction)), also of any
    number of merged ones, give or take 1/64 of its distance from the usual level of its interval, of a day 1/32.
    """

    encoding: Literal["cells/1"] = "cells/1"
    data: str


def pack(lower: Float64Array, upper: Float64Array, counts: npt.NDArray[np.integer]) -> Cells:
    """Buckets in rising order, one at least, none of them empty, as cells: as many as fit together, or one that holds too much for any."""
    angles = np.arcsin(np.sqrt(np.minimum(np.cumsum(counts, dtype=np.float64) / counts.sum(), 1.0)))
    edges, held = [float(lower[0])], list[int]()
    first, begin, alone_before = 0, 0.0, False
    while first < len(counts):
        last = max(first, int(np.searchsorted(angles, begin + _STEP + _ROUNDING, "right")) - 1)
        alone = bool(angles[last] - begin > _STEP + _ROUNDING)
        if lower[first] > edges[-1]:
            # What lies between two cells is empty. A bucket that is a cell of its own keeps its edges; the others stretch.
            if alone and alone_before:
                held.append(0)
                edges.append(float(lower[first]))
            elif alone or not alone_before:
                edges[-1] = float(lower[first])
        held.append(int(counts[first : last + 1].sum()))
        edges.append(float(upper[last]))
        first, begin, alone_before = last + 1, float(angles[last]), alone
    data = np.array(edges, "<f4").tobytes() + np.array(held, "<u4").tobytes()
    return Cells(data=base64.b64encode(data).decode())
