"""Which configuration runs, decided without a disk: the trial has one start, the file on the box the last word, the good one the last resort."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agent.config.known_good import (
    Book,
    ChangeError,
    Contents,
    Kind,
    applied,
    begun,
    confirmed,
    forbidden,
    given_up,
    in_words,
    ran,
    ran_well,
    reverted,
    staged,
)
from agent.config.load import load_text
from agent.errors import Problem
from tests.harness.agent_folder import AGENT

FILE = "the file"
NEW = Contents(text="new")
EMPTY = Book(path="/etc/stethos/agent.toml")


def kinds(book: Book, file: str | None = FILE) -> list[Kind]:
    return [candidate.kind for candidate in begun(book, file)[1]]


def on_trial() -> Book:
    book = applied(staged(EMPTY, NEW, FILE, "Meier"), FILE, 600)
    return begun(book, FILE)[0]


def test_at_first_the_file_runs_and_nothing_stands_in_for_it() -> None:
    assert kinds(EMPTY) == ["file"]
    assert kinds(EMPTY, None) == ["file"]


def test_what_ran_well_stands_in_and_that_is_told() -> None:
    book = ran_well(EMPTY, NEW)
    assert begun(book, FILE)[1][-1] == ("good", NEW)
    told = ran(book, "good", "agent.toml:3: bad").untold
    assert [(each.event, each.what) for each in told] == [
        ("config_refused", "the configuration that last ran well runs instead: agent.toml:3: bad")
    ]
    assert ran(book, "file", "").untold == []


def test_a_trial_is_tried_once_and_then_only_confirmed() -> None:
    book = applied(staged(EMPTY, NEW, FILE, "Meier"), FILE, 600)
    book, candidates = begun(book, FILE)
    assert candidates[0] == ("trial", NEW)
    again, candidates = begun(book, FILE)
    assert [candidate.kind for candidate in candidates] == ["file"]
    assert "before it was confirmed" in again.untold[-1].what
    stays = confirmed(book)
    assert kinds(stays) == ["remote", "file"]
    assert stays.trial is None


def test_a_trial_that_is_refused_at_its_start_is_over() -> None:
    book = ran(on_trial(), "file", "the configuration:3: bad")
    assert (book.trial, book.untold[-1].event) == (None, "config_reverted")


@pytest.mark.parametrize("file", ["another", None])
def test_the_file_on_the_box_has_the_last_word(file: str | None) -> None:
    staged_only = staged(EMPTY, NEW, FILE, "Meier")
    with pytest.raises(ChangeError, match="was changed since"):
        applied(staged_only, file, 600)
    assert kinds(applied(staged_only, FILE, 600), file) == ["file"]
    assert kinds(confirmed(on_trial()), file) == ["file"]
    assert begun(confirmed(on_trial()), file)[0].untold[-1].event == "config_reverted"


def test_what_is_given_up_is_the_latest_first() -> None:
    book = staged(confirmed(on_trial()), Contents(text="newer"), FILE, "Meier")
    book = begun(applied(book, FILE, 600), FILE)[0]
    book = staged(book, Contents(text="newest"), FILE, "Meier")
    for left, anew in (({"remote", "staged"}, True), ({"staged"}, True), (set(), False)):
        book, starts = given_up(book, "Meier")
        held = {name for name in ("trial", "remote", "staged") if getattr(book, name) is not None}
        assert (held, starts) == (left, anew)
    with pytest.raises(ChangeError, match="the file on the box runs"):
        given_up(book, "Meier")


def test_steps_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ChangeError, match="no configuration is staged"):
        applied(EMPTY, FILE, 600)
    with pytest.raises(ChangeError, match="no configuration is on trial"):
        confirmed(EMPTY)
    waiting = applied(staged(EMPTY, NEW, FILE, "Meier"), FILE, 600)
    with pytest.raises(ChangeError, match="no configuration is on trial"):
        confirmed(waiting)
    with pytest.raises(ChangeError, match="on trial already"):
        applied(staged(waiting, NEW, FILE, "Meier"), FILE, 600)


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ('id = "line-3"', 'id = "line-4"', "agent.id"),
        ('state = "state"', 'state = "other"', "agent.state"),
        ('keys = ["release.pub"]', 'keys = ["mine.pub"]', "trust"),
        ("[trust]", '[commands]\nmqtt = ["*"]\n[trust]', "commands"),
        ("[trust]", '[responses]\nprograms = "/usr/bin"\n[trust]', "responses"),
    ],
)
def test_the_network_cannot_change_who_may_do_what(old: str, new: str, where: str) -> None:
    local, remote = load_text(AGENT, "agent.toml"), load_text(AGENT.replace(old, new, 1), "new")
    [problem] = forbidden(local.config, remote.config, remote.locate)
    assert problem.where.endswith(where)
    assert "on the box alone" in problem.what
    section = where.partition(".")[0]
    if section != "responses":
        commands = msgspec.structs.replace(local.config.commands, remote_changes=[section])
        free = msgspec.structs.replace(local.config, commands=commands)
        told = {each.where.rpartition(" ")[2] for each in forbidden(free, remote.config, remote.locate)}
        assert where not in told


def test_the_network_may_change_what_is_measured() -> None:
    local, remote = load_text(AGENT, "a"), load_text(AGENT.replace("1 per week", "1 per month"), "b")
    assert forbidden(local.config, remote.config, remote.locate) == []


def test_problems_in_few_words() -> None:
    problem = Problem("agent.toml:3", "bad", "mend it")
    assert in_words([problem]) == "agent.toml:3: bad (mend it)"
    assert in_words([problem] * 3) == "agent.toml:3: bad (mend it), and 2 more"


class Starts(RuleBasedStateMachine):
    """Whatever is asked, changed and killed in between: an unconfirmed configuration runs in one start at most."""

    def __init__(self) -> None:
        super().__init__()
        self.book = EMPTY
        self.file = 0
        self.texts = 0
        self.running: tuple[Kind, str] = ("file", "0")
        self.starts_of: dict[str, int] = {}
        self.confirmed: set[str] = set()
        self.start()

    def attempt(self, change) -> None:
        try:
            self.book = change()
        except ChangeError:
            return

    @rule()
    def stage(self) -> None:
        self.texts += 1
        self.book = staged(self.book, Contents(text=f"new {self.texts}"), str(self.file), "Meier")

    @rule()
    def apply(self) -> None:
        self.attempt(lambda: applied(self.book, str(self.file), 600))

    @precondition(lambda self: self.running[0] == "trial" and self.book.trial is not None)
    @rule()
    def confirm(self) -> None:
        self.attempt(lambda: confirmed(self.book))
        self.confirmed.add(self.running[1])

    @precondition(lambda self: self.book.trial is not None)
    @rule()
    def time_out(self) -> None:
        self.book = reverted(self.book, "nobody confirmed it")

    @rule()
    def edit_the_file(self) -> None:
        self.file += 1

    @precondition(lambda self: self.running[0] != "trial")
    @rule()
    def run_well(self) -> None:
        self.book = ran_well(self.book, Contents(text=self.running[1]))

    @rule()
    def start(self) -> None:
        """A stop or a kill, it is the same."""
        self.book, candidates = begun(self.book, str(self.file))
        kind, contents = candidates[0]
        text = str(self.file) if contents is None else contents.text
        self.book = ran(self.book, kind, "")
        self.running = (kind, text)
        if kind == "trial":
            self.starts_of[text] = self.starts_of.get(text, 0) + 1

    @invariant()
    def nothing_unconfirmed_runs_twice_or_is_fallen_back_to(self) -> None:
        assert all(starts == 1 for starts in self.starts_of.values())
        kind, text = self.running
        if kind == "remote":
            assert text in self.confirmed
        if self.book.good is not None and self.book.good.text.startswith("new"):
            assert self.book.good.text in self.confirmed

    @invariant()
    def the_book_is_read_as_it_was_written(self) -> None:
        assert msgspec.json.decode(msgspec.json.encode(self.book), type=Book) == self.book


Starts.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestStarts = Starts.TestCase
