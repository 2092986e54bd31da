"""Variants in fewer bits, made and judged: one is shipped only where it is faster here and raises the same alarms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

import msgspec
import numpy as np
import onnx

from agent.errors import ConfigError, Problem
from agent.infer.agreement import FP32, Judge, differing_windows
from agent.infer.certificate import LEAST_AGREEMENT, SCHEMA, Comparison, Form, Parity, Variant, WindowSet
from agent.infer.golden import GoldenVectors
from agent.types import Float32Array
from export import certify, half, layers, quantize
from export.certify import Contest
from export.models.detector import Detector
from export.trial_windows import Trial

FORMS: tuple[Form, ...] = ("fp16", "int8")
# Less is within what a busy machine makes of two equal forms, and not worth a difference, as for `stethos bundle tune`.
_LEAST_SPEED = 1.1
# A tolerance above this would let a wrong model pass its golden vectors.
_LOOSEST = 0.5
# Another processor rounds elsewhere: a sum of 8-bit products is exact, the scale behind it is not.
_MARGIN = 2.0
_LEAST_TOLERANCE = 5e-3

Scores = tuple[Float32Array, Float32Array]


@dataclass(frozen=True, slots=True, eq=False)
class Certified:
    """The certificate, and of each variant that is shipped its graph and what the manifest says of it."""

    parity: Parity
    graphs: Mapping[str, bytes]
    variants: Mapping[str, Variant]


@dataclass(frozen=True, slots=True, eq=False)
class _Judged:
    """One candidate of a variant: how it compares by provider, what to promise of it, and by provider why it is not shipped for that."""

    name: str
    comparisons: Mapping[str, Comparison]
    variant: Variant
    objections: Mapping[str, str]
    agreement: float


def certify_forms(
    model: Detector,
    onnx_model: bytes,
    golden: GoldenVectors,
    judge: Judge,
    trial: Trial,
    *,
    wanted: Sequence[Form] = (),
    batch: int = 1,
) -> Certified:
    """Make the variants `wanted`, compare every form on every provider that is here, and choose what to ship.

    `batch` is how many windows the box scores at once: speeds are measured so. Raises ConfigError for variants without training windows.
    """
    graphs, verdicts = _candidates(model, onnx_model, trial, wanted)
    contest = Contest.of(model, trial, judge, batch)
    found: dict[str, dict[str, Comparison]] = {}
    outputs: dict[tuple[str, str], Scores] = {}
    for provider, sessions in certify.sessions_here({FP32: onnx_model, **graphs}).items():
        found[provider] = certify.compare(contest, sessions, provider)
        for name, session in sessions.items():
            score, channel_score = certify.run(session, ["score", "channel_score"], golden.windows)
            outputs[provider, name] = score, channel_score
    parity = _certificate(onnx_model, contest, [each[FP32] for each in found.values()])
    chosen: dict[Form, _Judged] = {}
    for form in (form for form in wanted if form not in verdicts):
        of_form = {
            name: {provider: each[name] for provider, each in found.items()}
            for name in graphs
            if certify.form_of(name) == form
        }
        tried = [
            _judged(name, each, outputs=outputs, golden=golden, judge=judge, parity=parity)
            for name, each in of_form.items()
        ]
        chosen[form] = max(tried, key=_worth)
    shipped = {form: each for form, each in chosen.items() if each.variant.speed}
    return Certified(
        msgspec.structs.replace(
            parity,
            comparisons=[*parity.comparisons, *(of for each in chosen.values() for of in each.comparisons.values())],
            verdicts=verdicts | {form: _verdict(each) for form, each in chosen.items()},
        ),
        {form: graphs[each.name] for form, each in shipped.items()},
        {form: each.variant for form, each in shipped.items()},
    )


def _worth(judged: _Judged) -> tuple[float, float]:
    """The fastest of those that can be shipped; else the one that comes closest."""
    return max(judged.variant.speed.values(), default=0.0), judged.agreement


def _candidates(
    model: Detector, onnx_model: bytes, trial: Trial, wanted: Sequence[Form]
) -> tuple[dict[str, bytes], dict[Form, str]]:
    """Graphs by name, see `certify.form_of`, and why a form has none."""
    learned = layers.learned(onnx.load_from_string(onnx_model).graph, model)
    if not learned:
        why = "not made: the model has no layers that were learned by gradient steps, or they are recurrent; its score needs float32"
        return {}, dict.fromkeys(wanted, why)
    if wanted and trial.training is None:
        what = "variants are made and judged with the windows of the data set, which is not at hand"
        raise ConfigError([Problem("--variants", what, "bring the data set back, or leave variants out")])
    graphs: dict[str, bytes] = {}
    if "fp16" in wanted:
        graphs["fp16"] = half.convert(onnx_model, learned)
    if "int8" in wanted and trial.training is not None:
        for index, graph in enumerate(quantize.candidates(onnx_model, learned, trial.training)):
            graphs[f"int8 {index}"] = graph
    missing = dict.fromkeys(wanted, "not made: no layer of the model has an 8-bit form")
    return graphs, {form: why for form, why in missing.items() if form not in map(certify.form_of, graphs)}


def _judged(
    name: str,
    comparisons: Mapping[str, Comparison],
    *,
    outputs: Mapping[tuple[str, str], Scores],
    golden: GoldenVectors,
    judge: Judge,
    parity: Parity,
) -> _Judged:
    objections = {}
    for provider, comparison in comparisons.items():
        why = _objection(parity, comparison) or _golden_objection(outputs[provider, name], golden, judge)
        if why is not None:
            objections[provider] = why
    good = {provider: each.speed for provider, each in comparisons.items() if provider not in objections}
    tolerance = max(_tolerance(outputs[provider, name], golden) for provider in good or comparisons)
    variant = Variant(
        relative_tolerance=tolerance,
        absolute_tolerance=tolerance * _usual(golden),
        budgets_per_hour=certify.per_hour(),
        speed=good,
    )
    return _Judged(name, comparisons, variant, objections, min(map(parity.agreement, comparisons.values())))


def _objection(parity: Parity, comparison: Comparison) -> str | None:
    """Why `comparison` does not allow to ship what it is of, or None."""
    if comparison.speed < _LEAST_SPEED:
        return f"{comparison.speed:.2f} times as fast as fp32, {_LEAST_SPEED} is the least"
    if parity.agreement(comparison) >= LEAST_AGREEMENT:
        return None
    differing, windows, name, words = max(
        (count / each.windows, each.windows, each.name, budget.words)
        for each in parity.windows
        for count, budget in zip(comparison.sets[each.name].differing, parity.budgets, strict=True)
    )
    return (
        f"{1 - differing:.2%} of {windows} {name} windows are decided as PyTorch decides them at '{words}', "
        f"{LEAST_AGREEMENT:.1%} is the least"
    )


def _golden_objection(found: Scores, golden: GoldenVectors, judge: Judge) -> str | None:
    """The same of the golden vectors, by which the box will prove it again."""
    if not _tolerance(found, golden) <= _LOOSEST:
        return "its golden outputs are too far off for any check"
    differing = differing_windows(judge, golden.windows, (golden.score, found[0]), certify.per_hour())
    if differing.any():
        budget, index = (int(each[0]) for each in np.nonzero(differing))
        return f"golden window {index} is decided otherwise at '{certify.BUDGETS[budget]}'"
    return None


def _tolerance(found: Scores, golden: GoldenVectors) -> float:
    """What to allow of every golden output, relative to it and the usual one together."""
    promised, usual = (golden.score, golden.channel_score), _usual(golden)
    worst = max(
        float(np.nan_to_num(np.abs(got - wanted) / (np.abs(wanted) + usual), nan=np.inf).max())
        for got, wanted in zip(found, promised, strict=True)
    )
    return max(_LEAST_TOLERANCE, _MARGIN * worst)


def _usual(golden: GoldenVectors) -> float:
    """The median output, below which nothing is asked for in parts of itself."""
    return max(float(np.median(golden.score)), float(np.median(golden.channel_score)), 1e-3)


def _verdict(judged: _Judged) -> str:
    worth = [
        f"{speed:.2f} times as fast as fp32 on {provider}, {judged.agreement:.2%} or more decided alike"
        for provider, speed in judged.variant.speed.items()
    ]
    rest = [f"not for {provider}: {why}" for provider, why in judged.objections.items()]
    return f"{'shipped' if worth else 'not shipped'}: {'; '.join([*worth, *rest])}"[:500]


def _certificate(onnx_model: bytes, contest: Contest, comparisons: list[Comparison]) -> Parity:
    machine, versions = certify.machine_and_versions()
    return Parity(
        schema=SCHEMA,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        model_sha256=sha256(onnx_model).hexdigest(),
        machine=machine,
        versions=versions,
        windows=[
            WindowSet(name=name, windows=len(each.values), what=each.what) for name, each in contest.trial.sets.items()
        ],
        budgets=certify.budgets(contest.judge),
        batch=contest.batch,
        comparisons=comparisons,
    )
