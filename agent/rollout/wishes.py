"""What people ask of a thread that may take long over it: a few wait in the order of asking, and none is left without an answer."""

from __future__ import annotations

import queue

from agent.commands.dispatcher import Wish

MOST_WAITING = 8
_TICK_S = 0.5


class Wishes:
    """`submit` is for any thread, the rest for the one that grants them."""

    def __init__(self) -> None:
        self._waiting: queue.Queue[Wish] = queue.Queue(MOST_WAITING)

    def submit(self, wish: Wish) -> bool:
        """Take a wish over, to be answered later; False where too many wait."""
        try:
            self._waiting.put_nowait(wish)
        except queue.Full:
            return False
        return True

    def next(self) -> Wish | None:
        """The one that has waited longest; None where none comes within half a second."""
        try:
            return self._waiting.get(timeout=_TICK_S)
        except queue.Empty:
            return None

    def refuse_all(self, why: str) -> None:
        """Answer those that wait, as nobody will grant them."""
        while not self._waiting.empty():
            self._waiting.get_nowait().refuse(why)
