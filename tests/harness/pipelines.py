"""A whole pipeline of one machine with a scorer that always answers, to be stepped by hand."""

from __future__ import annotations

import msgspec

from agent.decide.achieved import FalseAlarms
from agent.decide.alarm import Priority
from agent.decide.calibration import Calibration
from agent.decide.drift import DriftMonitor
from agent.decide.explanation import Explainer
from agent.decide.machine_alarms import MachineAlarms
from agent.decide.point import AlarmPoint
from agent.decide.summary import Summary
from agent.decide.yardstick import Yardstick
from agent.decode.decoder import Decoder
from agent.decode.profile import Profile
from agent.infer.scorer import FakeScorer
from agent.pipeline.machine import Machine
from agent.pipeline.pipeline import Pipeline
from agent.sensors.watch import SensorWatch
from agent.types import TimeQuality
from agent.upstream.compose import Composer
from agent.upstream.documents import BundleReference
from agent.upstream.topics import Topics
from agent.window.aligner import Aligner
from tests.harness.alarms import point_rules
from tests.harness.profiles import COUNTED, make
from tests.harness.streams import contract

SECOND = 1_000_000_000
RATE_HZ = 100.0
WINDOW, HOP = 20, 10
HOP_NS = HOP * SECOND // 100
RULES = point_rules(HOP_NS, budget_per_hour=1e-9)
CALIBRATION = Calibration(
    threshold=1e9, rate_per_hour=1.0, shape=0.0, scale=1.0, body_scores=[], body_rates=[], hours=1.0, clusters=1
)
BUNDLE = BundleReference(name="fake", version="1.0.0", sha256="00")
COUNTER = make(COUNTED, rate_hz=RATE_HZ)


def yardstick(names: list[str]) -> Yardstick:
    """As `CALIBRATION` has it."""
    drift = DriftMonitor(names, None, CALIBRATION, WINDOW * SECOND // 100, "fake")
    return Yardstick(CALIBRATION, FalseAlarms(1e-9, HOP_NS, "fake"), drift, HOP_NS)


class Listening(MachineAlarms):
    """Notes the windows that it is shown: start, end, and why unknown."""

    def __init__(self, priority: Priority = "high") -> None:
        super().__init__(AlarmPoint(msgspec.structs.replace(RULES, priority=priority)), clear_factor=10.0)
        self.windows: list[tuple[int, int, str | None]] = []
        self.time_quality: TimeQuality | None = None

    def judge(self, verdict, likelihood, explain):
        self.windows.append((verdict.window.start_ns, verdict.window.end_ns, verdict.window.unknown))
        self.time_quality = verdict.window.time_quality
        return super().judge(verdict, likelihood, explain)


def pipeline(profiles: dict[str, Profile], priority: Priority = "high") -> tuple[Pipeline, Listening, Aligner]:
    """One machine over all channels of all devices, which have two each; what it is shown; and its aligner."""
    names = [f"{device}.{channel}" for device, profile in profiles.items() for channel in profile.channel_names]
    feeds = {device: [(0, 2 * index), (1, 2 * index + 1)] for index, device in enumerate(profiles)}
    terms = contract(channels=len(names), rate_hz=RATE_HZ, window=WINDOW, hop=HOP, hold_cells=1)
    aligner, listening = Aligner("m", terms, feeds, 2 * SECOND), Listening(priority)
    machine = Machine(
        id="m",
        devices=list(profiles),
        aligner=aligner,
        scorer=FakeScorer(len(names), WINDOW),
        yardstick=yardstick(names),
        explainer=Explainer(names, ["1"] * len(names), [1.0] * len(names), None, RATE_HZ),
        alarms=listening,
        summary=Summary("m", names, ["1"] * len(names), feeds, 5 * SECOND),
    )
    decoders = {device: Decoder(profile, device) for device, profile in profiles.items()}
    watches = {device: SensorWatch(profile) for device, profile in profiles.items()}
    return (
        Pipeline(decoders, watches, [machine], Composer(Topics("stethos", "box"), "boot", {"m": BUNDLE})),
        listening,
        aligner,
    )
