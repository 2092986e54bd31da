"""The bundles that this box keeps: two slots a name, switched at once, so that a power cut leaves the one or the other."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import msgspec

from agent.bundles import twice
from agent.bundles.folder import DiskFolder, Folder, remove_unfinished, replace
from agent.bundles.sealed import seal, unseal
from agent.bundles.slots import (
    Letter,
    Slots,
    Stored,
    check_name,
    emptied,
    filled,
    run_begun,
    run_ended,
)
from agent.errors import BundleError
from agent.infer.bundle import SUFFIX
from agent.trust import memory as trust_memory
from agent.trust.memory import Memory

log = logging.getLogger(__name__)

_MOST_BYTES = 1024 * 1024 * 1024  # that [trust] max_bytes may allow
_RECORD = ".json"
_RECORD_BYTES = 64 * 1024
_UNTOLD = "untold.list"
_MOST_UNTOLD = 64
_LOCK = "lock"
_LOCK_WAIT_S = 10.0
_LOCK_TRY_S = 0.05


class Untold(msgspec.Struct, frozen=True, kw_only=True):
    """What happened while no agent was there to tell of it; `event` is a `SecurityEvent`, `by` who did it, None where nobody did."""

    event: str
    what: str
    by: str | None = None


def store_folder(state: Path) -> Path:
    """Where the store lies in the agent's state folder."""
    return state / "bundles"


class Store:
    """For the one thread or program that holds the lock; reading needs none. Every method raises BundleError where the disk fails."""

    def __init__(self, folder: Folder, state: Folder) -> None:
        """The slots are in `folder`; in `state` is what the box remembers of releases and roots."""
        self._folder = folder
        self._state = state

    def names(self) -> list[str]:
        """Of all bundles that are kept, sorted."""
        return [name.removesuffix(_RECORD) for name in self._folder.names() if name.endswith(_RECORD)]

    def slots(self, name: str) -> Slots:
        """The two slots of a name, empty ones where nothing is kept."""
        check_name(name)
        slots = twice.read(self._folder, name + _RECORD, _RECORD_BYTES, lambda data: _slots(name, data))
        return Slots(name=name) if slots is None else slots

    def save(self, slots: Slots) -> None:
        """Switch to these slots, at once; a step from `agent.bundles.slots` made them."""
        twice.write(self._folder, slots.name + _RECORD, seal(slots))

    def data(self, slots: Slots, letter: Letter) -> bytes:
        """The bytes in a slot; raises BundleError where they are not what was put there."""
        data = self._folder.read(_file(slots.name, letter), _MOST_BYTES)
        if data is None or hashlib.sha256(data).hexdigest() != slots.slots[letter].digest:
            version = slots.slots[letter].version
            raise BundleError(f"the stored bundle '{slots.name}' {version} is damaged; install it again")
        return data

    def put(self, name: str, stored: Stored, data: bytes) -> Slots:
        """Take a verified bundle into the free slot; nothing of what runs changes."""
        before = self.slots(name)
        room = emptied(before)
        filled(room, stored)  # refused before anything is written
        if room != before:
            self.save(room)
        replace(self._folder, _file(name, room.free), data)
        after = filled(room, stored)
        self.save(after)
        return after

    def memory(self) -> Memory:
        """What the box remembers of releases and roots; raises BundleError where that is damaged."""
        memory = twice.read(self._state, trust_memory.FILE, trust_memory.MAX_BYTES, trust_memory.decode)
        return Memory() if memory is None else memory

    def remember(self, memory: Memory) -> None:
        """Make this what the box remembers."""
        if memory != self.memory():
            twice.write(self._state, trust_memory.FILE, trust_memory.encode(memory))

    def untold(self) -> list[Untold]:
        """What is still to be told of."""
        return twice.read(self._folder, _UNTOLD, _RECORD_BYTES, _untold) or []

    def note(self, untold: Sequence[Untold]) -> None:
        """Make this what is still to be told of; of many the oldest go."""
        twice.write(self._folder, _UNTOLD, seal(list(untold)[-_MOST_UNTOLD:]))

    def damaged(self) -> list[str]:
        """Files of the store and of the state folder that were damaged, and lie aside."""
        return [*twice.damaged(self._folder), *twice.damaged(self._state)]

    def run_begun(self, most: int) -> None:
        """The agent starts: count it, on disk, against what is tried, before any of it is loaded, and give up what has ended it too often."""
        remove_unfinished(self._folder)
        self._mend()
        for name, before in self._readable():
            after, why = run_begun(before, most)
            if why is not None:
                tried = before.running if before.on_probation else before.other
                what = f"{name}{'' if tried is None else f' {tried.version}'} is tried no more: {why}"
                self.note([*self.untold(), Untold(event="bundle_returned", what=what)])
                log.error("%s", what)
            if after != before:
                self.save(after)

    def run_ended(self) -> None:
        """The agent ends in good order."""
        for _, before in self._readable():
            if (after := run_ended(before)) != before:
                self.save(after)

    def _mend(self) -> None:
        """What is damaged and cannot be mended is the affair of whoever reads it."""
        mends: list[Callable[[], object]] = [
            partial(twice.mend, self._state, trust_memory.FILE, trust_memory.MAX_BYTES, trust_memory.decode),
            partial(twice.mend, self._folder, _UNTOLD, _RECORD_BYTES, _untold, seal([])),
            *(partial(self._mend_record, name) for name in self.names()),
        ]
        for mend in mends:
            try:
                mend()
            except BundleError as error:
                log.error("%s", error)

    def _mend_record(self, name: str) -> None:
        twice.mend(self._folder, name + _RECORD, _RECORD_BYTES, partial(_slots, name))

    def _readable(self) -> Iterator[tuple[str, Slots]]:
        """A record that cannot be read is the affair of whoever wants that bundle, not of all others."""
        for name in self.names():
            try:
                slots = self.slots(name)
            except BundleError as error:
                log.error("%s", error)
            else:
                yield name, slots


@contextlib.contextmanager
def running_store(state: Path, most_starts: int) -> Iterator[Store]:
    """The store for a run of the agent, which is counted against what is tried unless it ends in good order. Raises BundleError."""
    with locked_store(state) as store:
        store.run_begun(most_starts)
        try:
            yield store
        finally:
            store.run_ended()


def read_store(state: Path) -> Store:
    """The store, to be read only."""
    return _store(state)


@contextlib.contextmanager
def locked_store(state: Path, wait_s: float = _LOCK_WAIT_S) -> Iterator[Store]:
    """The store, for nobody else meanwhile; raises BundleError where somebody else has it for longer than `wait_s`."""
    path = store_folder(state)
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise BundleError(f"{path}: {error.strerror or error}; let the agent's user write there") from error
    try:
        _take(descriptor, path, wait_s)
        yield _store(state)
    finally:
        os.close(descriptor)


def for_slots(memory: Memory) -> Memory:
    """What a bundle in a slot is held against: it has passed the counter, and may be an earlier one that was gone back to."""
    return msgspec.structs.replace(memory, counters={})


def _slots(name: str, data: bytes) -> Slots:
    try:
        slots = unseal(data, Slots)
    except ValueError as error:
        remedy = f"remove {name}{_RECORD} from the store and install the bundle again"
        raise BundleError(f"the record of the bundle '{name}' cannot be read: {error}; {remedy}") from error
    if slots.name != name:
        raise BundleError(f"the record of the bundle '{name}' is of '{slots.name}': install the bundle again")
    return slots


def _untold(data: bytes) -> list[Untold]:
    try:
        return unseal(data, list[Untold])
    except ValueError as error:
        raise BundleError(f"{_UNTOLD} in the store cannot be read: {error}; remove it") from error


def _store(state: Path) -> Store:
    return Store(DiskFolder(store_folder(state)), DiskFolder(state))


def _take(descriptor: int, path: Path, wait_s: float) -> None:
    deadline_s = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline_s:
                raise BundleError(f"{path} is in use: another agent or command works on it") from None
            time.sleep(_LOCK_TRY_S)
        else:
            return


def _file(name: str, letter: Letter) -> str:
    return f"{name}.{letter}{SUFFIX}"
