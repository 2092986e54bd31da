"""Topics stand where the contract says, and no name can break out of its level."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.upstream.topics import Topics, check_level


def test_every_topic_of_the_contract() -> None:
    topics = Topics("stethos", "line-3")
    assert topics.availability == "stethos/line-3/availability"
    assert topics.health == "stethos/line-3/health"
    assert topics.gap == "stethos/line-3/gap"
    assert topics.device_health("accel-7") == "stethos/line-3/device/accel-7/health"
    assert topics.alarm("pump-1") == "stethos/line-3/machine/pump-1/alarm"
    assert topics.alarms("pump-1") == "stethos/line-3/machine/pump-1/alarms"
    assert topics.summary("pump-1") == "stethos/line-3/machine/pump-1/summary"


def test_a_base_may_have_several_levels() -> None:
    assert Topics("plant/hall-2", "line-3").health == "plant/hall-2/line-3/health"


@pytest.mark.parametrize("bad", ["", "a+b", "#", "a/b", "a\0b", "x" * 65, "é" * 33, "a\nb", "\ud800"])
def test_names_that_mqtt_would_misread_are_refused(bad: str) -> None:
    topics = Topics("stethos", "line-3")
    for build in (topics.alarm, topics.alarms, topics.summary, topics.device_health, lambda name: Topics("b", name)):
        with pytest.raises(ValueError, match=r"level|longer"):
            build(bad)


@pytest.mark.parametrize("base", ["", "/stethos", "stethos/", "a//b", "$SYS", "a/+/b"])
def test_bases_that_mqtt_would_misread_are_refused(base: str) -> None:
    with pytest.raises(ValueError, match=r"level|base"):
        Topics(base, "line-3")


@given(st.text())
def test_whatever_passes_is_one_level(name: str) -> None:
    try:
        check_level(name)
    except ValueError:
        return
    assert name.encode()
    assert not set(name) & set("+#/\0")
