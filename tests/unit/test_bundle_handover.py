"""Models handed to the pipeline: taken between two steps, refused, or withdrawn; and what is shown to a shadow that cannot keep up."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from agent.decide.alarm import MODEL, NOTHING, Act, Change, Transition
from agent.decide.isa18 import Action, State
from agent.decide.lasting import Likelihood
from agent.errors import BundleError, InferenceError
from agent.infer.slot import ScorerSlot
from agent.rollout.handover import Handover
from agent.rollout.observing import Observing, raised
from agent.rollout.shadow import MOST_WAITING, Shadow, ShadowThread
from agent.types import Commit, TimeQuality, Verdict, Window
from tests.harness.broker import wait_until
from tests.harness.engines import FakeLoaded
from tests.harness.threads import at_work

MODELS: list[Any] = ["a model"]


def put(handover: Handover, **options: float) -> tuple[threading.Thread, list[str]]:
    """Another thread's `put`, and what it said."""
    said: list[str] = []

    def body() -> None:
        try:
            handover.put(MODELS, **options)
        except BundleError as error:
            said.append(str(error))
        else:
            said.append("done")

    thread = threading.Thread(target=body)
    thread.start()
    return thread, said


def test_what_is_offered_is_exchanged_once_and_the_commit_is_the_pipelines() -> None:
    handover, commit, seen = Handover(), Commit(state={"a": b""}), []
    thread, said = put(handover)
    found: list[Commit] = []
    wait_until(
        lambda: bool((served := handover.serve(lambda models: (seen.append(models), commit)[1])) and found.append(served) is None),
        30,
        "the exchange",
    )  # fmt: skip
    thread.join(30)
    assert (said, seen, found) == (["done"], [MODELS], [commit])
    assert handover.serve(lambda models: commit) is None


def test_a_pipeline_that_does_not_come_to_it_changes_nothing_later() -> None:
    handover = Handover()
    thread, said = put(handover, patience_s=0.05)
    thread.join(30)
    assert said == ["the pipeline did not come to it within 0.05 s: nothing was exchanged"]
    assert handover.serve(lambda models: pytest.fail("it was withdrawn")) is None


def test_an_exchange_that_breaks_is_told_as_no_success() -> None:
    handover = Handover()
    thread, said = put(handover)

    def broken(models: object) -> Commit:
        raise RuntimeError("no memory")

    with pytest.raises(RuntimeError, match="no memory"):
        wait_until(lambda: handover.serve(broken) is not None, 30, "the offer")
    thread.join(30)
    assert said == ["the exchange broke: no memory"]


def test_a_refusal_of_the_pipeline_comes_back() -> None:
    handover = Handover()
    thread, said = put(handover)

    def refuse(models: object) -> Commit:
        raise ValueError("other channels")

    wait_until(lambda: handover.serve(refuse) is not None or bool(said), 30, "the refusal")
    thread.join(30)
    assert said == ["other channels"]


def test_an_exchange_that_has_begun_is_waited_for() -> None:
    handover, begun, go_on = Handover(), threading.Event(), threading.Event()

    def exchange(models: object) -> Commit:
        begun.set()
        go_on.wait(30)
        return Commit(state={"a": b""})

    pipeline = threading.Thread(
        target=lambda: wait_until(lambda: handover.serve(exchange) is not None, 30, "something to exchange")
    )
    pipeline.start()
    thread, said = put(handover, patience_s=1.0)
    assert begun.wait(30)
    thread.join(1.2)
    assert said == []
    go_on.set()
    thread.join(30)
    pipeline.join(30)
    assert said == ["done"]


def transition(action: Action, point: str = MODEL) -> Change:
    act = Act(by="x", comment="", time_ns=1)
    step = Transition(
        machine="m", point=point, alarm=None, action=action, before=State.NORMAL, after=State.NORMAL,
        time_ns=1, by=act.by, comment="",
    )  # fmt: skip
    return Change(None, (step,))


def test_only_alarms_that_the_model_raised_count() -> None:
    changes = [transition(Action.RAISE), transition(Action.CLEAR), transition(Action.RAISE, "hot.high"), NOTHING]
    assert raised(changes) == 1


def window(number: int) -> Window:
    values = np.zeros((3, 8), np.float32)
    return Window("m", number * 10, number * 10 + 10, values, None, TimeQuality.DEVICE)


def shadow(candidate: FakeLoaded) -> Shadow:
    model = SimpleNamespace(machine="m", yardstick=SimpleNamespace(model_input=lambda values: values))
    return Shadow([model], ScorerSlot(candidate), ScorerSlot(FakeLoaded("CPU")))  # type: ignore[list-item]


def look(into: Any, number: int, unknown: str | None = None) -> None:
    machine = SimpleNamespace(
        id="m", alarms=SimpleNamespace(points={MODEL: SimpleNamespace(status=SimpleNamespace(active=False))})
    )
    verdict = Verdict(window(number), 1.0, np.zeros(3, np.float32), unknown)
    into.look(machine, verdict, Likelihood(1.0, 0.0), [])


def test_windows_that_come_too_fast_are_dropped_and_counted_and_the_pipeline_never_waits() -> None:
    slow = shadow(FakeLoaded("CPU"))
    for number in range(MOST_WAITING + 100):
        look(slow, number)
    assert slow.report().dropped == 100
    look(slow, 1, unknown="a gap")
    assert slow.report().dropped == 100, "what could not be judged is nothing to compare"


def test_a_candidate_that_fails_is_counted_and_its_thread_goes_on() -> None:
    failing = FakeLoaded("CPU")
    failing.overrun = True
    compared, thread = shadow(failing), ShadowThread()
    with at_work(thread.run):
        thread.begin(compared)
        assert thread.session is compared.candidate
        for number in range(3):
            look(compared, number)
            wait_until(lambda number=number: compared.report().failures == number + 1, 30, "a failure counted")
        thread.end()
        assert thread.session is None
        look(compared, 9)
    assert compared.report().failures == 3, "nothing is turned any more"
    with pytest.raises(InferenceError):
        compared.candidate.score(np.zeros((1, 3, 8), np.float32))


def test_an_observer_is_shown_its_own_machines_until_it_is_cleared() -> None:
    observing, seen = Observing(), []
    observer = SimpleNamespace(look=lambda *shown: seen.append(shown[0].id))
    observing.set(["m", "n"], observer)
    look(observing, 1)
    assert seen == ["m"]
    observing.clear(observer)
    look(observing, 2)
    assert seen == ["m"]
