"""A call that may block for long, such as a name's look-up: tried in a thread of its own, and left there by whoever is asked to stop."""

from __future__ import annotations

import threading
from collections.abc import Callable

_LOOK_S = 0.1


def attempt(name: str, call: Callable[[], None], stop: threading.Event, undo: Callable[[], None]) -> bool:
    """True once `call` has ended; False, within 0.1 s, where `stop` is set before that.

    Raises what `call` raises. A call that is left behind ends by itself some time, in a daemon thread, and until then nobody else may
    touch what it works on. `undo` takes back what such a call, or one that failed, did after all.
    """
    trial = _Trial(call, undo)
    threading.Thread(target=trial.run, name=name, daemon=True).start()
    while not trial.ended.wait(_LOOK_S):
        if stop.is_set() and trial.leave():
            return False
    if trial.failure is not None:
        raise trial.failure
    return True


class _Trial:
    """One call, and who owns its outcome."""

    def __init__(self, call: Callable[[], None], undo: Callable[[], None]) -> None:
        self.ended = threading.Event()
        self.failure: Exception | None = None
        self._call = call
        self._undo = undo
        self._lock = threading.Lock()
        self._left = False

    def run(self) -> None:
        """The body of the thread."""
        try:
            self._call()
        except Exception as error:  # noqa: BLE001 - raised again where the outcome is awaited
            self.failure = error
        if self.failure is not None:
            self._undo()
        with self._lock:
            self.ended.set()
            left = self._left
        if left and self.failure is None:
            self._undo()

    def leave(self) -> bool:
        """Await the outcome no longer; False where it has come already."""
        with self._lock:
            self._left = not self.ended.is_set()
            return self._left
