"""An alarm's message stays within what docs/consumers.md says, with the longest names, comments and likenesses that there can be."""

from __future__ import annotations

import numpy as np

from agent.commands.catalogue import LONGEST_COMMENT as LONGEST_SAID
from agent.commands.catalogue import LONGEST_NAME
from agent.decide.alarm import Act, AlarmEvent
from agent.decide.contributions import Contribution, Expectation
from agent.decide.explanation import Advice, picture, sentence
from agent.decide.likeness import MOST_SIMILAR, Similar, in_words
from agent.decide.past import LONGEST_COMMENT
from agent.types import TimeQuality, Window
from agent.upstream.compose import Composer
from agent.upstream.documents import BundleReference
from agent.upstream.topics import Topics
from tests.harness.alarms import alarm

MOST_BYTES = 40 * 1024
ODD = 1.2345678901234567e-300
NAMES = [f"{'d' * 63}{row}.{'c' * 63}{row}" for row in range(5)]
ACT = Act(
    by="\U0001f40e" * LONGEST_NAME, comment="\U0001f40e" * LONGEST_SAID, time_ns=2**62, until_ns=2**62, verdict="false"
)


def channel(name: str) -> Contribution:
    expected = Expectation(
        low=ODD, high=ODD, spread=ODD, usual_spread=ODD, spread_times=ODD, band_hz=(ODD, ODD), band_times=ODD
    )
    return Contribution(
        channel=name, unit="m/s2", share=1 / 3, times_usual=ODD, mean=ODD, minimum=ODD, maximum=ODD, expected=expected
    )


def test_an_alarms_message_is_bounded_whatever_operators_said() -> None:
    similar = Similar(
        id=f"{'m' * 64}-20260101T000000.000000000Z",
        raised_ns=2**62,
        lasted_s=ODD,
        similarity=0.999,
        peak_strangeness=ODD,
        band_hz=(ODD, ODD),
        verdict="false",
        by=ACT.by,
        comment="\U0001f40e" * LONGEST_COMMENT,
    )
    channels = [channel(name) for name in NAMES]
    told = alarm(
        channels=channels,
        similar=[similar] * MOST_SIMILAR,
        actions=[Advice(channel=name, text="Tighten the probe. " * 10) for name in NAMES[:2]],
        sentence=f"{sentence(channels)} {in_words([similar])}",
        guidance="Look at the bearing. " * 20,
        acknowledged=ACT,
        judged=ACT,
        override=ACT,
    )
    values = np.random.default_rng(1).normal(size=(5, 4_096)).astype(np.float32)
    window = Window("m", 0, 1, values, None, TimeQuality.DEVICE)
    event = AlarmEvent(
        key=f"{told.id}.1", type="update", revision=1, before=told, after=told, picture=picture(window, range(5), NAMES)
    )
    composer = Composer(
        Topics("b" * 64, "a" * 64), "0" * 32, {"pump": BundleReference(name="n" * 64, version="1.0.0", sha256="0" * 64)}
    )
    size_bytes = len(composer.alarm(event, TimeQuality.DEVICE).payload)
    assert MOST_BYTES / 2 < size_bytes < MOST_BYTES
