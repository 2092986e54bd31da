"""The thread of configurations, with a real shelf: keeps what runs well once, refuses what does not prove itself, and lets a trial go back."""

from __future__ import annotations

import json
import threading
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from agent.assembly import composer_of
from agent.clock import FakeClock
from agent.commands.catalogue import COMMANDS
from agent.commands.dispatcher import Wish
from agent.config import known_good
from agent.config.known_good import Contents, Kind
from agent.config.shelf import Shelf
from agent.errors import BundleError, Problem
from agent.rollout.configuration import Configuration
from agent.rollout.telling import Teller
from agent.rollout.wishes import MOST_WAITING
from agent.types import NANOSECONDS, Commit
from agent.upstream.topics import Topics
from tests.harness.agent_folder import AGENT
from tests.harness.broker import wait_until
from tests.harness.threads import at_work

NEW = Contents(text=AGENT + "\n")
WELL_NS = 60 * NANOSECONDS
BAD = Problem("the configuration:3: agnet", "is unknown", "did you mean 'agent'?")


class Desk:
    """One run of the thread, its clock moved by hand; checks find `problems`."""

    def __init__(self, folder: Path, kind: Kind = "file", contents: Contents | None = None) -> None:
        self.config = folder / "agent.toml"
        if not self.config.exists():
            self.config.write_text(AGENT)
        self.shelf = Shelf(self.config, folder / "state")
        self.clock = FakeClock()
        self.problems: list[Problem] = []
        self.well = True
        self.restarted = threading.Event()
        self.events: list[str] = []
        self.running = Configuration(
            self.shelf,
            kind,
            contents or Contents(text=AGENT),
            (),
            check=lambda _config, _text: list(self.problems),
            well=lambda: self.well,
            well_after_ns=WELL_NS,
            restart=self.restarted.set,
            teller=Teller(composer_of(Topics("stethos", "line-3"), "boot", {}), self._submit, self.clock),
            clock=self.clock,
        )

    def _submit(self, commit: Commit) -> None:
        self.events += [json.loads(message.payload)["event"] for message in commit.messages]
        for answer in commit.answers:
            answer()

    def turning(self) -> AbstractContextManager[threading.Event]:
        return at_work(self.running.run)

    def ask(self, command: str, **fields: Any) -> str:
        """What came of it: ok, or why not."""
        answers: list[str] = []
        arguments = COMMANDS[command].arguments(by="Meier", **fields)
        wish = Wish(command, arguments, {"by": "Meier"}, lambda _data: answers.append("ok"), answers.append)
        assert self.running.wishes.submit(wish)
        wait_until(lambda: bool(answers), 30, "an answer")
        return answers[0]


def test_what_runs_well_is_kept_once_and_not_written_again(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.shelf.write(desk.shelf.read())
    with desk.turning():
        desk.clock.advance(WELL_NS)
        wait_until(lambda: desk.shelf.read().good == Contents(text=AGENT), 30, "the good one")
    written_ns = (tmp_path / "state" / "configurations.json").stat().st_mtime_ns
    again = Desk(tmp_path)
    with again.turning():
        again.clock.advance(WELL_NS)
        wait_until(lambda: again.running._kept, 30, "a look at it")
    assert (tmp_path / "state" / "configurations.json").stat().st_mtime_ns == written_ns


@pytest.mark.parametrize("kind", ["good", "trial"])
def test_what_only_stands_in_or_is_on_trial_is_not_kept(tmp_path: Path, kind: Kind) -> None:
    desk = Desk(tmp_path, kind, Contents(text="other"))
    with desk.turning():
        desk.clock.advance(2 * WELL_NS)
        assert desk.ask("config.apply") == "no configuration is staged"
    assert desk.shelf.read().good is None


def test_while_something_is_stuck_nothing_runs_well(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.well = False
    with desk.turning():
        desk.clock.advance(2 * WELL_NS)
        assert desk.ask("config.apply") == "no configuration is staged"
        desk.well = True
        assert desk.ask("config.apply") == "no configuration is staged"
    assert desk.shelf.read().good is None


def test_a_bad_text_is_refused_with_every_problem_and_not_kept(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.problems = [BAD, BAD]
    with desk.turning():
        assert desk.ask("config.stage", text=AGENT) == f"it cannot run:\n{BAD}\n{BAD}"
        assert desk.ask("config.stage", text="[[[").startswith("it cannot run:\nthe configuration: not TOML")
    assert desk.shelf.read().staged is None
    assert desk.events == []


def test_a_reload_of_a_bad_file_is_told_and_of_a_good_one_starts_anew(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.problems = [BAD]
    with desk.turning():
        desk.running.reload()
        wait_until(lambda: desk.events == ["config_refused"], 30, "the refusal told")
        [reason] = desk.running.reasons
        assert (reason.state, reason.where, reason.remedy) == ("maintenance_required", "configuration", BAD.remedy)
        assert not desk.restarted.is_set()
        desk.problems = []
        desk.running.reload()
        assert desk.restarted.wait(30)
        assert desk.running.reasons == []


@pytest.mark.parametrize("within", ["9s", "25h", "soon", ""])
def test_a_trial_has_bounds(tmp_path: Path, within: str) -> None:
    desk = Desk(tmp_path)
    with desk.turning():
        assert desk.ask("config.stage", text=AGENT + "\n") == "ok"
        assert desk.ask("config.apply", confirm_within=within).startswith("confirm_within: ")
    assert desk.shelf.read().trial is None


def test_a_trial_that_nobody_confirms_goes_back_on_the_second(tmp_path: Path) -> None:
    first = Desk(tmp_path)
    with first.turning():
        assert first.ask("config.stage", text=AGENT + "\n") == "ok"
        assert first.ask("config.apply", confirm_within="30s") == "ok"
        assert first.restarted.wait(30)
    book, [candidate, *_] = known_good.begun(first.shelf.read(), AGENT)
    first.shelf.write(book)
    trial = Desk(tmp_path, "trial", candidate.contents)
    assert [reason.state for reason in trial.running.reasons] == ["check_function"]
    with trial.turning():
        trial.clock.advance(30 * NANOSECONDS)
        assert not trial.restarted.wait(1.2)
        trial.clock.advance(1)
        assert trial.restarted.wait(30)
    assert trial.shelf.read().trial is None
    after = Desk(tmp_path)
    with after.turning():
        wait_until(lambda: after.events == ["config_reverted"], 30, "the reverting told, once")
    assert after.shelf.read().untold == []


def test_too_many_wishes_are_turned_away(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    wish = Wish("config.confirm", COMMANDS["config.confirm"].arguments(by="Meier"), {"by": "Meier"}, print, print)
    assert [desk.running.wishes.submit(wish) for _ in range(MOST_WAITING + 1)] == [True] * MOST_WAITING + [False]


def test_a_trial_ends_on_a_full_disk_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book = known_good.applied(
        known_good.staged(Shelf(tmp_path / "agent.toml", tmp_path).read(), NEW, AGENT, "x"), AGENT, 10
    )
    book, _ = known_good.begun(book, AGENT)
    Shelf(tmp_path / "agent.toml", tmp_path / "state").write(book)
    trial = Desk(tmp_path, "trial", NEW)

    def full(_shelf: Shelf, _book: object) -> None:
        raise BundleError("no space left on device")

    monkeypatch.setattr(Shelf, "write", full)
    with trial.turning():
        trial.clock.advance(11 * NANOSECONDS)
        assert trial.restarted.wait(30)


def test_who_waits_when_the_agent_stops_is_told_so(tmp_path: Path) -> None:
    desk, said = Desk(tmp_path), list[str]()
    wish = Wish("config.confirm", COMMANDS["config.confirm"].arguments(by="Meier"), {"by": "Meier"}, print, said.append)
    assert desk.running.wishes.submit(wish)
    stop = threading.Event()
    stop.set()
    desk.running.run(stop)
    assert said == ["the agent is stopping"]
