"""The demo passes only with an alarm after the onset and none before, and says what it heard."""

import io

import msgspec
import pytest
from rich.console import Console

from agent.decide.alarm import MODEL, AlarmEvent, AlarmState, Reading
from agent.decide.contributions import Contribution
from agent.decide.isa18 import State
from agent.demo.consumer import Heard
from agent.demo.files import MACHINE
from agent.demo.screen import Screen
from agent.demo.story import Outcome
from agent.demo.tennessee import ROW_NS

ONSET_NS = 1_000 * ROW_NS


@pytest.fixture
def terminal():
    return io.StringIO()


@pytest.fixture
def screen(terminal):
    return Screen(Console(file=terminal, width=200))


def alarm(rows_after_onset, kind="new"):
    at_ns = ONSET_NS + rows_after_onset * ROW_NS
    part = Contribution(
        channel="plant.a_feed", unit="kg/h", share=0.5, times_usual=12.34, mean=1.0, minimum=0.0, maximum=2.0
    )
    state = AlarmState(
        id="reactor-1",
        machine=MACHINE,
        point=MODEL,
        priority="high",
        state=State.UNACKNOWLEDGED,
        raised_ns=at_ns,
        updated_ns=at_ns,
        cleared_ns=None,
        ended_ns=None,
        occurrences=1,
        reading=Reading(strangeness=3.0, score=7.5, exceedances_per_hour=1e-6),
        peak=Reading(strangeness=3.0, score=7.5, exceedances_per_hour=1e-6),
        budget_per_hour=1e-3,
        data="good",
        channels=[part],
        sentence="A feed reads 1 kg/h.",
        explained_ns=at_ns,
        window_start_ns=at_ns - 8 * ROW_NS,
        window_end_ns=at_ns,
    )
    event = AlarmEvent(key="reactor-1.1", type=kind, revision=1, before=None, after=state)
    return Heard(f"machine/{MACHINE}/alarm", msgspec.json.encode(event))


@pytest.mark.parametrize(
    ("rows", "passed"),
    [([], False), ([1], True), ([7, 90], True), ([0], False), ([-5, 7], False), ([7, -5], False)],
)
def test_passes_only_with_an_alarm_after_the_onset_and_none_before(rows, passed, screen):
    outcome = Outcome(ONSET_NS)
    for row in rows:
        outcome.hear(alarm(row), screen)
    assert outcome.passed is passed


def test_an_update_or_an_end_is_no_new_alarm(screen):
    outcome = Outcome(ONSET_NS)
    outcome.hear(alarm(5, "update"), screen)
    outcome.hear(alarm(6, "end"), screen)
    assert not outcome.passed


def test_an_alarm_is_shown_with_its_delay_and_channels(screen, terminal):
    Outcome(ONSET_NS).hear(alarm(7), screen)
    assert "alarm new: machine reactor, priority high, 7 rows after the onset" in terminal.getvalue()
    assert "plant.a_feed 12x usual" in terminal.getvalue()


def test_summaries_are_counted(screen, terminal):
    outcome = Outcome(ONSET_NS)
    outcome.hear(Heard(f"machine/{MACHINE}/summary", b"{}"), screen)
    assert outcome.summaries == 1
    assert terminal.getvalue() == ""


def test_progress_away_from_a_terminal_is_plain_lines(screen, terminal):
    with screen.progress("rows", total=60, mark=25, mark_text="the fault begins") as update:
        for done in range(1, 61):
            update(done)
    lines = terminal.getvalue().split("\n")
    assert [line.strip() for line in lines if line] == [
        "rows 10/60",
        "rows 20/60",
        "the fault begins",
        "rows 30/60",
        "rows 40/60",
        "rows 50/60",
        "rows 60/60",
    ]
