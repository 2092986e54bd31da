"""What was learnt of a machine, to change fields of: one channel of the tiny bundle, left as it is."""

from __future__ import annotations

import msgspec

from agent.decide.baseline import Baseline
from agent.decide.commissioning import Commissioning, Correction
from tests.harness.bundles import manifest


def commissioning(**changes: object) -> Commissioning:
    what = Commissioning(
        machine="pump",
        bundle="tiny 1.0.0",
        bundle_sha256="ab" * 32,
        channels=["p.x"],
        by="ann",
        comment="",
        created="2026-01-01T00:00:00Z",
        from_ns=0,
        to_ns=1,
        windows=100,
        corrections=[Correction()],
        calibration=manifest().calibration,
        channel_usual=[1.0],
        baseline=Baseline(band_edges_hz=[], channels=[]),
        remarks=[],
    )
    return msgspec.structs.replace(what, **changes)
