"""Windows are cut into few fixed sizes, and the sizes and the variant that are kept are those worth it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.infer.plan import Plan, choose_sizes, cut
from agent.infer.tuning import choose_variant

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
sizes = st.sets(st.integers(2, 300), max_size=6).map(lambda found: (*sorted(found, reverse=True), 1))


@given(st.integers(0, 2_000), sizes)
def test_every_window_is_in_one_batch_of_a_planned_size_and_in_order(count: int, planned: tuple[int, ...]) -> None:
    parts = list(cut(count, planned))
    assert [index for part in parts for index in range(count)[part]] == list(range(count))
    assert {part.stop - part.start for part in parts} <= set(planned)


def test_larger_batches_come_first() -> None:
    assert [part.stop - part.start for part in cut(41, (16, 4, 1))] == [16, 16, 4, 4, 1]


def test_without_a_measurement_the_sizes_are_the_providers_usual_and_fit_what_an_engine_takes() -> None:
    assert Plan().sizes(CPU, 8 * 256) == (16, 4, 1)
    assert Plan().sizes(CUDA, 8 * 256) == (1024, 256, 64, 16, 4, 1)
    assert Plan().sizes(CUDA, 8 * 256, most=256) == (256, 64, 16, 4, 1)
    assert Plan(batch_sizes=(512, 8, 1)).sizes(CPU, 8 * 256, most=256) == (8, 1)


def test_large_windows_run_in_small_batches_and_the_largest_alone() -> None:
    assert Plan().sizes(CUDA, 4 * 65_536) == (16, 4, 1)
    assert Plan(batch_sizes=(1024, 16, 1)).sizes(CUDA, 4 * 65_536) == (16, 1)
    assert Plan().sizes(CPU, 64 * 262_144) == (1,)


@pytest.mark.parametrize(
    ("seconds", "kept"),
    [
        ({1: 1.0}, (1,)),
        ({1: 1.0, 2: 2.0, 4: 4.0}, (1,)),  # nothing gained
        ({1: 1.0, 2: 1.0, 4: 1.0, 8: 1.0}, (8, 4, 2, 1)),  # an accelerator: all cost the same
        ({1: 1.0, 2: 1.0, 4: 3.0, 8: 3.9}, (2, 1)),  # 4 is slower than two of 2, 8 hardly faster than four of 2
        ({1: 1.0, 2: 1.96, 4: 3.0}, (4, 1)),  # each against the last that was kept
    ],
)
def test_a_size_stays_where_it_gains_over_the_next_smaller(seconds: dict[int, float], kept: tuple[int, ...]) -> None:
    assert choose_sizes(seconds) == kept


@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [
        ({"fp32": {1: 1.0, 8: 4.0}}, "fp32"),
        ({"fp32": {1: 1.0, 8: 4.0}, "fp16": {1: 0.95, 8: 3.9}}, "fp32"),  # not worth its differences
        ({"fp32": {1: 1.0, 8: 4.0}, "fp16": {1: 0.5, 8: 2.0}, "int8": {1: 0.4, 8: 1.0}}, "int8"),
        ({"fp32": {1: 1.0, 8: 4.0}, "int8": {1: 3.0, 8: 2.0}}, "fp32"),  # faster in company, slower alone
        ({"fp32": {1: 1.0}, "fp16": {1: 0.5, 8: 0.1}}, "fp16"),  # compared where both were measured
    ],
)
def test_another_form_is_chosen_where_it_gains_over_all_sizes(
    seconds: dict[str, dict[int, float]], chosen: str
) -> None:
    assert choose_variant(seconds) == chosen
