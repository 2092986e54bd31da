"""What works in threads of its own while a test looks on."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

Body = Callable[[threading.Event], object]


@contextlib.contextmanager
def at_work(*bodies: Body, ends_within_s: float = 10.0) -> Iterator[threading.Event]:
    """Each of `bodies` runs inside of the `with`; then it is told to stop by its event, and must have done so in time."""
    stop = threading.Event()
    threads = [threading.Thread(target=body, args=(stop,), daemon=True) for body in bodies]
    for thread in threads:
        thread.start()
    try:
        yield stop
    finally:
        stop.set()
        for thread in threads:
            thread.join(ends_within_s)
            assert not thread.is_alive(), f"{thread.name} did not stop"
