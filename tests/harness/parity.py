"""A small parity certificate that holds together, to alter in tests."""

from __future__ import annotations

from agent.infer.certificate import SCHEMA, Budget, Comparison, Errors, OnSet, Parity, Spread, WindowSet


def comparison(form: str = "fp32", differing: tuple[int, int] = (0, 0)) -> Comparison:
    """Two sets, two budgets; `differing` of the held-out windows at each."""
    spread = Spread(p50=1e-6, p99=1e-5, max=1e-4)
    errors = {"score": Errors(absolute=spread, relative=spread)}
    sets = {"held-out": OnSet(errors=errors, differing=list(differing)), "edge": OnSet(errors=errors, differing=[0, 0])}
    return Comparison(form=form, provider="CPUExecutionProvider", sets=sets, run_ms=0.1, speed=1.0)


def certificate(*comparisons: Comparison) -> Parity:
    return Parity(
        schema=SCHEMA,
        created="2026-11-22T00:00:00+00:00",
        model_sha256="0" * 64,
        machine="a processor",
        versions={"onnxruntime": "1.31.1"},
        windows=[
            WindowSet(name="held-out", windows=1000, what="normal"),
            WindowSet(name="edge", windows=5, what="hostile"),
        ],
        budgets=[
            Budget(words="1 per day", per_hour=1 / 24, threshold=3.0),
            Budget(words="1 per month", per_hour=1 / 730, threshold=None),
        ],
        batch=1,
        comparisons=list(comparisons) or [comparison()],
    )
