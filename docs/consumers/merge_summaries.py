"""Merge summaries of hours into a day, or of agents into a plant: python merge_summaries.py SUMMARY.json... prints JSON, one entry a channel.

Needs nothing but Python. Each file holds one message of .../summary or .../summary/day; a channel is merged with those of its name and unit.
"""

from __future__ import annotations

import base64
import json
import math
import struct
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

QUANTILES = {"p05": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95, "p99": 0.99}
Cell = tuple[float, float, int]  # values from lower to upper, and how many of them


def cells_of(values: dict[str, Any]) -> list[Cell]:
    """The cells of one channel's `values`, or of `score`."""
    if values["cells"] is None:
        return []
    if values["cells"]["encoding"] != "cells/1":
        raise SystemExit(f"{values['cells']['encoding']} is not known here")
    data = base64.b64decode(values["cells"]["data"])
    count = (len(data) - 4) // 8
    edges = struct.unpack_from(f"<{count + 1}f", data)
    counts = struct.unpack_from(f"<{count}I", data, 4 * (count + 1))
    return list(zip(edges, edges[1:], counts, strict=False))


def quantile(cells: list[Cell], fraction: float) -> float:
    """The value that this fraction of all values are below, straight through each cell; the cells may be of several summaries."""
    wanted = fraction * (sum(count for _, _, count in cells) - 1) + 0.5
    edges = sorted({edge for lower, upper, _ in cells for edge in (lower, upper)})
    low, high = 0, len(edges) - 1
    while low < high:  # the first edge at which enough values lie below or on it
        middle = (low + high) // 2
        low, high = (low, middle) if below(cells, edges[middle])[1] >= wanted else (middle + 1, high)
    before = below(cells, edges[max(0, low - 1)])[1]
    upto = below(cells, edges[low])[0]
    if low == 0 or wanted >= upto:
        return edges[low]
    return edges[low - 1] + (edges[low] - edges[low - 1]) * (wanted - before) / (upto - before)


def below(cells: list[Cell], value: float) -> tuple[float, float]:
    """How many values lie below `value`, and below or on it."""
    less = on = 0.0
    for lower, upper, count in cells:
        if upper < value or (upper == value and lower < upper):
            less += count
        elif lower == upper == value:
            on += count
        elif lower < value:
            less += count * (value - lower) / (upper - lower)
    return less, less + on


def merge(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Several `values` as one; the mean and the spread exactly, by Chan, Golub and LeVeque (1979)."""
    parts = [part for part in parts if part["n"]]
    n = sum(part["n"] for part in parts)
    if not n:
        return {"n": 0}
    mean = math.fsum(part["n"] * part["mean"] for part in parts) / n
    squares = math.fsum(part["n"] * (part["std"] ** 2 + (part["mean"] - mean) ** 2) for part in parts)
    cells = [cell for part in parts for cell in cells_of(part)]
    return {
        "n": n,
        "min": min(part["min"] for part in parts),
        "mean": mean,
        "max": max(part["max"] for part in parts),
        "std": math.sqrt(squares / n),
        **{name: quantile(cells, fraction) for name, fraction in QUANTILES.items()},
    }


def merged(summaries: list[dict[str, Any]]) -> dict[str, Any]:
    """By channel, and the score of each machine."""
    parts: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for summary in summaries:
        if summary["schema"] != "stethos.summary/1":
            raise SystemExit(f"{summary['schema']} is not known here")
        parts[f"score of {summary['machine']}"].append(summary["score"])
        for channel in summary["channels"]:
            parts[f"{channel['channel']} [{channel['unit']}]"].append(channel["values"])
    return {name: merge(values) for name, values in parts.items()}


def main() -> None:
    print(json.dumps(merged([json.loads(Path(name).read_text()) for name in sys.argv[1:]]), indent=2))


if __name__ == "__main__":
    main()
