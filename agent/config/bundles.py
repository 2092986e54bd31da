"""Check how bundles are exchanged while the agent runs: where they may be dropped, what a candidate and a newcomer must keep."""

from __future__ import annotations

import math
from typing import Any

from agent.bundles.comparison import Promotion
from agent.bundles.probation import Bounds
from agent.config.checked import CheckedBundles
from agent.config.findings import Findings
from agent.config.schema import Config
from agent.infer.bundle import SUFFIX
from agent.toml_structs import KeyPath
from agent.types import NANOSECONDS

_MOST_COUNT = 10_000_000


def is_stored(bundle: str) -> bool:
    """Whether a machine's `bundle` is a name in the store; a path, or a file's name, is the file itself and is never exchanged."""
    return "/" not in bundle and not bundle.endswith(SUFFIX)


def check_bundles(config: Config, findings: Findings) -> CheckedBundles:
    """What [bundles] says, with a latency of 0 where that follows from the model."""
    bundles, at = config.bundles, ("bundles", "probation")
    if bundles.inbox is not None and not bundles.inbox:
        findings.problem(("bundles", "inbox"), "the path is empty", "name a folder, as in /var/lib/stethos/inbox")
    probation = bundles.probation
    lasts_ns = findings.duration_ns((*at, "lasts"), probation.lasts, "1s", "30d")
    latency_ns = (
        0 if probation.latency is None else findings.duration_ns((*at, "latency"), probation.latency, "0.001ms", "10m")
    )
    for name in ("windows", "starts", "alarms"):
        _within((*at, name), getattr(probation, name), 1 if name == "starts" else 0, _MOST_COUNT, findings)
    return CheckedBundles(
        inbox=None if bundles.inbox is None else findings.beside / bundles.inbox,
        arrival=bundles.arrival,
        promotion=_promotion(config, findings),
        probation=Bounds(
            lasts_ns=lasts_ns,
            windows=probation.windows,
            starts=probation.starts,
            alarms=probation.alarms,
            latency_ms=latency_ns * 1_000 / NANOSECONDS,
        ),
    )


def _promotion(config: Config, findings: Findings) -> Promotion | None:
    promote, at = config.bundles.promote, ("bundles", "promote")
    if promote is None:
        return None
    _within((*at, "windows"), promote.windows, 1, _MOST_COUNT, findings)
    _within((*at, "agreement"), promote.agreement, 0, 1, findings)
    _within((*at, "correlation"), promote.correlation, -1, 1, findings)
    _within((*at, "alarms"), promote.alarms, 0, _MOST_COUNT, findings)
    _within((*at, "latency"), promote.latency, 0, _MOST_COUNT, findings)
    return Promotion(
        windows=promote.windows,
        agreement=promote.agreement,
        correlation=promote.correlation,
        alarms=promote.alarms,
        latency=promote.latency,
    )


def _within(path: KeyPath, value: Any, least: float, most: float, findings: Findings) -> None:
    if not (math.isfinite(value) and least <= value <= most):
        findings.problem(path, f"{value:g} is outside of {least:g} to {most:g}")
