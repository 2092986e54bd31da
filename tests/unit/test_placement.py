"""Which provider runs which operators, and what is said of those that an accelerator left to the CPU."""

from __future__ import annotations

from agent.clock import FakeClock
from agent.infer.canary import Latency, latency_of, measure
from agent.infer.placement import placement_of
from agent.infer.providers import partly_degraded

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


def test_operators_are_counted_by_provider_and_those_on_the_cpu_by_kind() -> None:
    placement = placement_of(
        [(CUDA, "Conv"), (CPU, "Gather"), (CUDA, "Conv"), (CPU, "Gather"), (CPU, "If"), (CUDA, "Relu")]
    )
    assert placement.nodes == {CUDA: 3, CPU: 3}
    assert placement.on_cpu == placement.fallen == {"Gather": 2, "If": 1}
    assert partly_degraded(placement.fallen, CUDA) == f"degraded: {CUDA} left 3 operators to the CPU: 2 Gather, 1 If"


def test_nothing_has_fallen_where_the_cpu_is_all_there_is_or_has_nothing() -> None:
    for placement in (placement_of([(CPU, "Conv")]), placement_of([(CUDA, "Conv")]), placement_of([])):
        assert placement.fallen == {}
        assert partly_degraded(placement.fallen, CUDA) is None


def test_latency_is_the_median_and_the_worst_in_milliseconds() -> None:
    assert latency_of([3_000_000, 1_000_000, 50_000_000]) == Latency(3.0, 50.0)


def test_a_slow_model_is_tried_a_few_times_and_a_fast_one_some_more() -> None:
    clock, calls = FakeClock(), []

    def took(milliseconds: int) -> int:
        calls.clear()

        def score(window: object) -> None:
            calls.append(window)
            clock.advance(milliseconds * 1_000_000)

        assert measure(score, None, clock) == Latency(milliseconds, milliseconds)
        return len(calls)

    assert [took(milliseconds) for milliseconds in (1, 50, 400)] == [20, 10, 3]
