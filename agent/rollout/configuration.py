"""The thread that has the configurations: keeps the one that runs well, checks a new one, and takes one from the network back unless it is confirmed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from agent.clock import Clock
from agent.commands.catalogue import ApplyConfig, StageConfig
from agent.commands.dispatcher import Wish
from agent.config import known_good
from agent.config.known_good import Book, ChangeError, Contents, Kind
from agent.config.load import load, load_text
from agent.config.shelf import Shelf, file_text
from agent.errors import BundleError, ConfigError, Problem
from agent.health import Reason
from agent.quantities import parse_duration_ns
from agent.rollout.telling import Teller
from agent.rollout.wishes import Wishes
from agent.sensors.faults import State
from agent.types import NANOSECONDS
from agent.upstream.documents import SecurityEvent

log = logging.getLogger(__name__)

_CONFIRM_NS = (10 * NANOSECONDS, 24 * 3600 * NANOSECONDS)
_MOST_REASONS = 10

Check = Callable[[Path, str | None], list[Problem]]


class Configuration:
    """`run` is a thread's body; `wishes`, `reload` and `reasons` are for any thread. `restart` is called where another one is to run."""

    def __init__(
        self,
        shelf: Shelf,
        kind: Kind,
        contents: Contents,
        refused: Sequence[Problem],
        *,
        check: Check,
        well: Callable[[], bool],
        well_after_ns: int,
        restart: Callable[[], None],
        teller: Teller,
        clock: Clock,
    ) -> None:
        """`kind` and `contents` run now; `refused` is what is wrong with those that should; `well` says whether all is well by now.

        One that ran well for `well_after_ns` is what the agent falls back to.
        """
        self.reasons = _reasons(kind, refused)
        self.wishes = Wishes()
        self._shelf = shelf
        self._kind = kind
        self._contents = contents
        self._check = check
        self._well = well
        self._well_after_ns = well_after_ns
        self._restart = restart
        self._teller = teller
        self._clock = clock
        self._to_look = False  # no lock: it is set in a signal's handler
        self._since_ns = clock.monotonic_ns()  # that all has been well
        self._begun_ns = self._since_ns
        self._kept = kind in {"good", "trial"}
        self._book = Book(path="")  # read by `run`
        self._over = False

    def reload(self) -> None:
        """Look at the operator's file again, and start anew with it where it is good."""
        self._to_look = True

    def run(self, stop: threading.Event) -> None:
        """Thread body; raises BundleError where the disk fails."""
        self._book = self._shelf.read()
        self._tell_untold()
        try:
            while not stop.is_set():
                self._turn()
        finally:
            self.wishes.refuse_all("the agent is stopping")

    def _turn(self) -> None:
        wish = self.wishes.next()
        if wish is not None:
            self._serve(wish)
        if self._to_look:
            self._to_look = False
            self._look_again()
        self._teller.flush()
        self._keep_what_runs_well()
        self._end_the_trial()

    def _serve(self, wish: Wish) -> None:
        try:
            self._grant(wish)
        except ConfigError as error:
            wish.refuse(f"it cannot run:\n{error}")
        except (ChangeError, BundleError) as error:
            wish.refuse(str(error))

    def _look_again(self) -> None:
        config = self._shelf.config
        problems = self._check(config, None)
        self.reasons = _reasons(self._kind, problems)
        if problems:
            what = f"{config} is refused, and what ran runs on: {known_good.in_words(problems)}"
            for problem in problems:
                log.error("%s", problem)
            self._teller.tell(SecurityEvent.CONFIG_REFUSED, what, "mend the file, then reload")
            return
        log.info("%s is good: the agent starts anew with it", config)
        self._start_anew()

    def _grant(self, wish: Wish) -> None:
        by = str(wish.record["by"])
        if isinstance(wish.arguments, StageConfig):
            self._stage(wish, wish.arguments, by)
        elif isinstance(wish.arguments, ApplyConfig):
            self._apply(wish, wish.arguments, by)
        elif wish.command == "config.confirm":
            if self._kind != "trial":
                raise ChangeError("no configuration is on trial")
            self._save(known_good.confirmed(self._book))
            self._kind, self._kept, self._since_ns = "remote", False, self._clock.monotonic_ns()
            self.reasons = []
            self._tell(wish, SecurityEvent.CONFIG_CONFIRMED, f"the configuration on trial stays, confirmed by {by}")
        else:
            after, anew = known_good.given_up(self._book, by)
            self._save(after)
            self._tell(wish, SecurityEvent.CONFIG_REVERTED, f"the configuration from the network is given up, by {by}")
            if anew:
                self._start_anew()

    def _stage(self, wish: Wish, arguments: StageConfig, by: str) -> None:
        local = load(self._shelf.config)
        remote = load_text(arguments.text, "the configuration")
        problems = known_good.forbidden(local.config, remote.config, remote.locate)
        problems += self._check(self._shelf.config, arguments.text)
        if problems:
            raise ConfigError(problems)
        contents = Contents(text=arguments.text)
        self._save(known_good.staged(self._book, contents, file_text(self._shelf.config), by))
        what = f"a configuration is staged, by {by}: {contents.sha256}"
        self._tell(wish, SecurityEvent.CONFIG_STAGED, what)

    def _apply(self, wish: Wish, arguments: ApplyConfig, by: str) -> None:
        try:
            confirm_ns = parse_duration_ns(arguments.confirm_within)
        except ValueError as error:
            raise ChangeError(f"confirm_within: {error}") from error
        if not _CONFIRM_NS[0] <= confirm_ns <= _CONFIRM_NS[1]:
            raise ChangeError(f"confirm_within: '{arguments.confirm_within}' is outside of 10s to 24h")
        file = file_text(self._shelf.config)
        self._save(known_good.applied(self._book, file, confirm_ns / NANOSECONDS))
        what = f"the staged configuration runs now, by {by}; unless it is confirmed within {arguments.confirm_within}, it is given up"
        self._tell(wish, SecurityEvent.CONFIG_APPLIED, what)
        self._start_anew()

    def _keep_what_runs_well(self) -> None:
        now_ns = self._clock.monotonic_ns()
        if not self._well():
            self._since_ns = now_ns
        if self._kept or now_ns - self._since_ns < self._well_after_ns:
            return
        if self._book.good != self._contents:  # the flash is not worn where nothing is new
            self._save(known_good.ran_well(self._book, self._contents))
            log.info("this configuration runs well: the agent falls back to it where another is refused")
        self._kept = True

    def _end_the_trial(self) -> None:
        trial = self._book.trial
        if trial is None or self._kind != "trial" or self._over:
            return
        if self._clock.monotonic_ns() - self._begun_ns > trial.confirm_within_s * NANOSECONDS:
            try:
                self._save(known_good.reverted(self._book, f"nobody confirmed it within {trial.confirm_within_s:g} s"))
            except BundleError as error:  # a trial has one start, so that the next is without it all the same
                log.error("the trial ends, and why is not told later: %s", error)
            self._start_anew()

    def _start_anew(self) -> None:
        self._over = True
        self._restart()

    def _tell_untold(self) -> None:
        """What was decided while no agent was there to tell of it."""
        if not self._book.untold:
            return
        for each in self._book.untold:
            self._teller.tell(SecurityEvent(each.event), each.what, "see the health's reasons")
        self._save(msgspec.structs.replace(self._book, untold=[]))

    def _tell(self, wish: Wish, event: SecurityEvent, what: str) -> None:
        said = {
            "sha256": self._contents.sha256,
            "staged": _sha256(self._book.staged),
            "trial": _sha256(self._book.trial),
        }
        self._teller.tell(event, what, record=wish.record, answer=lambda: wish.done(said))

    def _save(self, book: Book) -> None:
        self._shelf.write(book)
        self._book = book


def _sha256(remote: known_good.Remote | None) -> Any:
    return None if remote is None else remote.contents.sha256


def _reasons(kind: Kind, problems: Sequence[Problem]) -> list[Reason]:
    """Each problem with its file and line, and which configuration runs meanwhile."""
    runs = "the configuration that last ran well runs" if kind == "good" else "what ran before runs on"
    found = [
        Reason(State.MAINTENANCE_REQUIRED, "configuration", f"{each.where}: {each.what}; {runs}", each.remedy)
        for each in problems[:_MOST_REASONS]
    ]
    if kind == "trial":
        what, remedy = (
            "a configuration from the network is on trial",
            "confirm it with config.confirm, or let it go back",
        )
        found.append(Reason(State.CHECK_FUNCTION, "configuration", what, remedy))
    return found
