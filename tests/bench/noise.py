"""Stationary noise whose law is known, eight channels at 1 Hz, and one model's decisions on any stretch of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import onnxruntime as ort
from numpy.lib.stride_tricks import sliding_window_view
from scipy.signal import lfilter

from agent.decide.calibration import Calibration
from agent.decide.explanation import unexplained
from agent.decide.isa18 import Behaviour
from agent.decide.lasting import Evidence, likelihoods
from agent.decide.machine_alarms import MachineAlarms
from agent.decide.point import AlarmPoint
from agent.types import NANOSECONDS, Float32Array, TimeQuality, Verdict, Window
from agent.window.contract import Contract, ContractChannel
from export import calibrate, to_onnx, train
from export.windows import Windows
from tests.harness.alarms import point_rules

DAY_S = 86_400
WINDOW, HOP = 32, 8
BUDGET_PER_HOUR = 1 / 730.485  # once a month
_FAMILY, _OPTIONS = "mahalanobis", {"features": "all"}
_TRAIN_DAYS, _CALIBRATE_DAYS = 2, 14
_BATCH = 4_096
_EVER_SO_OFTEN_S = 1 / 450  # a duty cycle's switchings: on and off for 450 s in the mean

Noise = Callable[[np.random.Generator, int, int], np.ndarray]


def _ar1(rng: np.random.Generator, n: int, channels: int) -> np.ndarray:
    return lfilter([np.sqrt(1 - 0.9**2)], [1, -0.9], rng.normal(size=(n, channels)), axis=0)


def _duty(rng: np.random.Generator, n: int, channels: int) -> np.ndarray:
    """A machine that is switched on and off: vibration as a gamma law, twenty times less while it is off."""
    on = np.cumsum(rng.random(n) < _EVER_SO_OFTEN_S) % 2 == 0
    return rng.gamma(4.0, size=(n, channels)) * np.where(on, 1.0, 0.05)[:, None]


KINDS: dict[str, Noise] = {
    "gaussian": lambda rng, n, channels: rng.normal(size=(n, channels)),
    "laplace": lambda rng, n, channels: rng.laplace(size=(n, channels)),
    "student_t3": lambda rng, n, channels: rng.standard_t(3, size=(n, channels)),
    "ar1": _ar1,
    "gamma": _duty,
}


def draw(kind: str, days: float, channels: int, seed: int) -> Float32Array:
    """Samples float32 [n, channels], one a second."""
    return KINDS[kind](np.random.default_rng(seed), round(days * DAY_S), channels).astype(np.float32)


@dataclass(frozen=True)
class Watcher:
    """A model trained and calibrated on noise of one kind, as a bundle would hold it."""

    session: ort.InferenceSession
    calibration: Calibration
    channels: int

    def scores(self, samples: Float32Array) -> Float32Array:
        """Of each window of samples [n, channels]; the first ends WINDOW seconds after the first sample."""
        windows = cut(samples)
        parts = [windows[start : start + _BATCH] for start in range(0, len(windows), _BATCH)]
        return np.concatenate([self.session.run(["score"], {"window": part})[0] for part in parts])

    def standing(self, samples: Float32Array) -> Iterator[tuple[int, bool, bool]]:
        """Of each window: its end in seconds, whether an alarm was raised then, and whether one stands."""
        behaviour = Behaviour(acknowledge=False)
        rules = point_rules(HOP * NANOSECONDS, behaviour=behaviour, budget_per_hour=BUDGET_PER_HOUR)
        lasting = self.calibration.lasting
        evidence = None if lasting is None else Evidence(lasting, BUDGET_PER_HOUR / 2, HOP * NANOSECONDS)
        alarms = MachineAlarms(AlarmPoint(rules), 10.0, evidence)
        nothing = np.empty((self.channels, 0), np.float32)
        scores = self.scores(samples)
        for index, likelihood in enumerate(likelihoods(self.calibration, scores)):
            end_s = index * HOP + WINDOW
            window = Window("m", (end_s - WINDOW) * NANOSECONDS, end_s * NANOSECONDS, nothing, None, TimeQuality.DEVICE)
            changes = alarms.judge(Verdict(window, float(scores[index]), nothing[:, :0], None), likelihood, unexplained)
            raised = any(change.event is not None and change.event.type == "new" for change in changes)
            yield end_s, raised, bool(alarms.standing)


def watcher(kind: str, channels: int) -> Watcher:
    """Trained on two days and calibrated on fourteen others of the same noise."""
    names = [ContractChannel(name=f"c{index}", unit="1") for index in range(channels)]
    contract = Contract(channels=names, rate_hz=1.0, window=WINDOW, hop=HOP)
    fitted = train.fit(
        [_windows(draw(kind, _TRAIN_DAYS, channels, seed=1))],
        contract,
        train.Plan(_FAMILY, 0, 1, _OPTIONS),
        lambda *_: None,
    )
    model = to_onnx.convert(fitted.model, channels, WINDOW)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.data, options, providers=["CPUExecutionProvider"])
    bare = Watcher(session, None, channels)  # type: ignore[arg-type]
    held_out = draw(kind, _CALIBRATE_DAYS, channels, seed=2)
    calibrated = calibrate.fit([(bare.scores(held_out), _ends_ns(held_out))], contract)
    return Watcher(session, calibrated.calibration, channels)


def cut(samples: Float32Array) -> Float32Array:
    """Windows float32 [n, channels, WINDOW], one every HOP."""
    return np.ascontiguousarray(sliding_window_view(samples, WINDOW, axis=0)[::HOP])


def _ends_ns(samples: Float32Array) -> np.ndarray:
    count = (len(samples) - WINDOW) // HOP + 1
    return (np.arange(count, dtype=np.int64) * HOP + WINDOW) * NANOSECONDS


def _windows(samples: Float32Array) -> Windows:
    return Windows("noise", cut(samples), _ends_ns(samples), None, 0)
