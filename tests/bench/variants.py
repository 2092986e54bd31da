"""fp16 and int8 against fp32 on this processor: how fast, and in what share of windows the alarm decisions stay.

Windows of 8 channels and 64 cells, as in `explain`; 4,000 normal ones calibrate, 4,000 held-out ones and 4,000 with synthetic anomalies are
decided at budgets from a day to a year. `speed` is with one window at a time, `speed_16` with sixteen, one thread, in alternating rounds against fp32 in
the same run. A figure that is missing is of a variant that was not made. A variant that is slower, or decides otherwise, is here all the same: the
words say whether it would be shipped.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from agent.infer.agreement import Judge
from agent.infer.certificate import LEAST_AGREEMENT, Parity
from agent.infer.golden import GoldenVectors
from agent.infer.providers import CPU
from agent.types import NANOSECONDS, Float32Array
from agent.window.contract import Contract, ContractChannel
from export import calibrate, certify, golden_windows, to_onnx, train
from export.models import registered
from export.models.detector import Detector
from export.synthetic import inject
from export.trial_windows import Trial, WindowsToTry
from export.variants import FORMS, certify_forms
from export.windows import Windows
from tests.bench.explain import plant
from tests.bench.figures import Figure, significant

FAMILIES = (
    "conv-autoencoder",
    "dense-autoencoder",
    "few-labels",
    "gan",
    "gru-autoencoder",
    "image-cnn",
    "patch-transformer",
    "pca",
    "spectrogram-cnn",
    "tcn-forecast",
)
_CHANNELS, _WINDOW, _FACTORS = 8, 64, 3
_TRAINING, _TRIED, _EPOCHS = 1_000, 4_000, 20
_MANY = 16


def measure() -> Iterator[Figure]:
    """Of every family of FAMILIES, what was made of it."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(17)
    mix = rng.normal(size=(_CHANNELS, _FACTORS))
    training, calibrating, held_out = (plant(rng, mix, n) for n in (_TRAINING, _TRIED, _TRIED))
    for family in FAMILIES:
        model, judge = _fitted(family, training, calibrating)
        graph = to_onnx.convert(model, _CHANNELS, _WINDOW).data
        trial = Trial(
            {
                "held-out": WindowsToTry(held_out, "normal"),
                "spoilt": WindowsToTry(inject(held_out, 18).windows, "with synthetic anomalies"),
            },
            training,
        )
        golden = _golden(model, judge, held_out)
        one, many = (
            certify_forms(model, graph, golden, judge, trial, wanted=FORMS, batch=batch).parity for batch in (1, _MANY)
        )
        yield from _figures(family, one, many)


def _figures(family: str, one: Parity, many: Parity) -> Iterator[Figure]:
    batched = {(each.form, each.provider): each for each in many.comparisons}
    for each in (each for each in one.comparisons if each.form != "fp32"):
        # On a machine with a GPU its figures stand beside the processor's.
        name = f"variants.{family}.{each.form}" + ("" if each.provider == CPU else f".{each.provider}")
        for suffix, of, parity in (
            ("speed", each, one),
            (f"speed_{_MANY}", batched[each.form, each.provider], many),
        ):
            fp32 = next(found for found in parity.comparisons if (found.form, found.provider) == ("fp32", of.provider))
            against = f"fp32, {fp32.run_ms:.3g} ms for {parity.batch}; {parity.verdicts[each.form]}"
            yield Figure(f"{name}.{suffix}", significant(of.speed), "times fp32", against)
        windows = sum(of.windows for of in one.windows)
        against = f"PyTorch's decisions at {', '.join(certify.BUDGETS)}, the least over {len(one.windows)} sets of {windows} windows"
        yield Figure(
            f"{name}.agreement", round(one.agreement(each), 5), "share", against, f">= {LEAST_AGREEMENT} to ship"
        )


def _fitted(family: str, training: Float32Array, calibrating: Float32Array) -> tuple[Detector, Judge]:
    names = [ContractChannel(name=f"c{index}", unit="1") for index in range(_CHANNELS)]
    contract = Contract(channels=names, rate_hz=1.0, window=_WINDOW, hop=_WINDOW)
    runs = [_windows(training, np.zeros(len(training), np.int64))]
    if registered(family).supervised:
        faulty = inject(training, 19)
        runs.append(_windows(faulty.windows, (faulty.labels > 0).astype(np.int64)))
    model = train.fit(runs, contract, train.Plan(family, 0, _EPOCHS), lambda *_: None).model
    score, _ = train.run_model(model, calibrating)
    normal = _windows(calibrating, np.zeros(len(calibrating), np.int64))
    return model, Judge(calibrate.fit([(score, normal.end_ns)], contract).calibration)


def _golden(model: Detector, judge: Judge, held_out: Float32Array) -> GoldenVectors:
    samples = golden_windows.choose_samples(held_out, inject(held_out[:8], 20).windows)
    near = golden_windows.near_thresholds(
        lambda windows: train.run_model(model, windows)[0], judge, samples, certify.per_hour()
    )
    windows = np.concatenate([samples, near])
    return GoldenVectors(windows, *train.run_model(model, windows))


def _windows(values: Float32Array, labels: np.ndarray) -> Windows:
    return Windows("planted", values, (np.arange(len(values)) + 1) * _WINDOW * NANOSECONDS, labels, 0)


if __name__ == "__main__":
    for figure in measure():
        print(f"{figure.name} = {figure.value:g} {figure.unit} ({figure.against})")
