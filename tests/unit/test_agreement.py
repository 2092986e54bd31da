"""Whether two forms of a model decide alike, and what a variant must keep on the box."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from agent.decide.calibration import Lasting
from agent.decide.states import OperatingState, OperatingStates
from agent.errors import BundleError
from agent.infer.agreement import Judge, check_golden, differing_windows, flagged, preferred
from agent.infer.certificate import Variant
from agent.infer.golden import GoldenVectors
from agent.infer.manifest import Manifest, States
from tests.harness.bundles import manifest

CALIBRATION = manifest().calibration  # exp(-(score - 4)) an hour above 4
DAY = 1 / 24
AT_DAY = 4 + np.log(24)  # the score at its threshold


def variant(speed: dict[str, float] | None = None, tolerance: float = 0.1) -> Variant:
    return Variant(
        relative_tolerance=tolerance, absolute_tolerance=0.01, budgets_per_hour=[1.0, DAY], speed=speed or {}
    )


def windows(n: int) -> np.ndarray:
    return np.zeros((n, 3, 8), np.float32)


def promised(*scores: float) -> tuple[Manifest, GoldenVectors]:
    score = np.array(scores, np.float32)
    vectors = GoldenVectors(windows(len(score)), score, np.repeat(score[:, None], 3, axis=1))
    return manifest(windows=len(score), variants={"int8": variant()}), vectors


def found(*scores: float) -> tuple[np.ndarray, np.ndarray]:
    score = np.array(scores, np.float32)
    return score, np.repeat(score[:, None], 3, axis=1)


def test_the_fastest_where_it_was_measured_is_preferred() -> None:
    variants = {"fp16": variant({"CUDA": 1.5}), "int8": variant({"CUDA": 1.2, "CPU": 2.0})}
    assert preferred(variants, "CUDA") == "fp16"
    assert preferred(variants, "CPU") == "int8"
    assert preferred(variants, "OpenVINO") == "fp32"
    assert preferred({}, "CPU") == "fp32"


def test_a_variant_that_was_slower_is_never_preferred() -> None:
    assert preferred({"fp16": variant({"CPU": 0.9})}, "CPU") == "fp32"


def test_outputs_within_tolerance_that_decide_alike_pass() -> None:
    told, golden = promised(1.0, AT_DAY - 0.3, AT_DAY + 0.3)
    check_golden(told, golden, "int8", found(1.05, AT_DAY - 0.2, AT_DAY + 0.2), "CPU")


@pytest.mark.parametrize("score", [1.2, np.nan, np.inf])
def test_an_output_beyond_the_variants_own_tolerance_is_named(score: float) -> None:
    told, golden = promised(5.0, 1.0)
    with pytest.raises(BundleError, match=r"int8 misses its golden vectors on CPU: score\[1\] is"):
        check_golden(told, golden, "int8", found(5.0, score), "CPU")


@pytest.mark.parametrize(("was", "becomes"), [(-0.1, 0.1), (0.1, -0.1)])
def test_a_golden_window_on_the_other_side_of_the_threshold_is_refused_within_tolerance(
    was: float, becomes: float
) -> None:
    told, golden = promised(1.0, AT_DAY + was)
    with pytest.raises(BundleError, match=r"int8 decides golden window 1 otherwise on CPU"):
        check_golden(told, golden, "int8", found(1.0, AT_DAY + becomes), "CPU")


def test_a_score_that_is_no_number_decides_nothing() -> None:
    scores = np.array([1.0, np.nan, 9.0], np.float32)
    differing = differing_windows(Judge(CALIBRATION), windows(3), (scores, scores), [DAY])
    assert differing.tolist() == [[False, True, False]]


def test_lasting_evidence_has_half_of_the_budget() -> None:
    lasting = Lasting(reference=0.5, threshold=1.0, rate_per_hour=1.0, scale=1.0, excursions=30)
    score = np.array([AT_DAY + 0.1, AT_DAY + 0.8], np.float32)
    alone = flagged(Judge(CALIBRATION), windows(2), score, [DAY])
    halved = flagged(Judge(msgspec.structs.replace(CALIBRATION, lasting=lasting)), windows(2), score, [DAY])
    assert (alone.tolist(), halved.tolist()) == ([[True, True]], [[False, True]])


def test_a_window_is_judged_in_its_own_operating_state() -> None:
    idle = OperatingState(name="idle", centre=[0.0, 0.0, 0.0], radius=1.0)
    load = OperatingState(name="load", centre=[9.0, 9.0, 9.0], radius=1.0)
    known = OperatingStates(scale=[1.0, 1.0, 1.0], states=[idle, load])
    louder = msgspec.structs.replace(CALIBRATION, threshold=40.0, body_scores=[0.0, 40.0], body_rates=[400.0, 1.0])
    judge = Judge(CALIBRATION, States(known=known, calibrations={"load": louder}))
    given = np.concatenate([windows(1), windows(1) + 9, windows(1) + 4.5])
    score = np.full(3, 20.0, np.float32)
    # between two states the calibration that finds it least strange decides
    assert flagged(judge, given, score, [DAY]).tolist() == [[True, False, False]]
