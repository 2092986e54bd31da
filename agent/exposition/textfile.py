"""The file that node_exporter's textfile collector reads, replaced as a whole by a thread that nobody waits for."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from pathlib import Path

from agent.metrics import Counters

log = logging.getLogger(__name__)

# A thousand devices of eight channels take half of it.
MAX_BYTES = 4 * 1024 * 1024
_WAIT_S = 0.5
_READABLE = 0o644  # the collector is another user, and nothing in it is secret


class Textfile:
    """`offer` is the main thread's and never waits; `run` is the body of a thread, as a disk may hang.

    error: why the latest text is not in the file, None where it is. counters: written, failed.
    """

    def __init__(self, path: Path) -> None:
        self.error: str | None = None
        self.counters = Counters()
        self._path = path
        self._unfinished = path.with_name(f"{path.name}.tmp")  # the collector reads *.prom alone
        self._changed = threading.Condition()
        self._text: bytes | None = None

    def offer(self, text: bytes) -> None:
        """Have `text` replace what the file says; of texts that wait only the newest counts."""
        with self._changed:
            self._text = text
            self._changed.notify()

    def run(self, stop: threading.Event) -> None:
        """Write until `stop` is set and nothing waits."""
        while not stop.is_set() or self._text is not None:
            with self._changed:
                if self._text is None:
                    self._changed.wait(_WAIT_S)
                text, self._text = self._text, None
            if text is not None:
                self._replace(text)

    def _replace(self, text: bytes) -> None:
        try:
            self._write(text)
        except OSError as error:
            self.counters.add("failed")
            told = f"cannot write {self._path}: {error.strerror or error}"
            if told != self.error:  # once, however long it lasts
                log.warning("%s", told)
            self.error = told
        else:
            self.counters.add("written")
            self.error = None

    def _write(self, text: bytes) -> None:
        """No sync to the disk: after a power cut the metrics are anew."""
        if len(text) > MAX_BYTES:
            raise OSError(f"{len(text)} bytes of metrics are more than {MAX_BYTES}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            with os.fdopen(os.open(self._unfinished, flags, _READABLE), "wb") as file:
                os.fchmod(file.fileno(), _READABLE)  # whatever the umask
                file.write(text)
            self._unfinished.replace(self._path)
        except OSError:
            with contextlib.suppress(OSError):
                self._unfinished.unlink(missing_ok=True)
            raise
