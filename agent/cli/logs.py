"""Logging for a service: to stderr, with the journal's priorities where stderr is the journal."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping

LEVELS = ("debug", "info", "warning", "error")

# syslog's severities, as sd-daemon(3) reads them at the start of a line
_PRIORITY = {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6, logging.DEBUG: 7}


class JournalFormatter(logging.Formatter):
    """`<4>name: text`; each line of a traceback gets the prefix, because the journal takes lines one by one."""

    def format(self, record: logging.LogRecord) -> str:
        prefix = f"<{_PRIORITY.get(record.levelno, 6)}>"
        return prefix + super().format(record).replace("\n", f"\n{prefix}")


def set_up_logging(level: str, environ: Mapping[str, str] = os.environ) -> None:
    """Log to stderr from `level` on."""
    handler = logging.StreamHandler(sys.stderr)
    if _is_journal(sys.stderr.fileno(), environ):
        handler.setFormatter(JournalFormatter("%(name)s: %(message)s"))  # the journal keeps time and process itself
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(threadName)s %(name)s: %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def _is_journal(descriptor: int, environ: Mapping[str, str]) -> bool:
    """$JOURNAL_STREAM names device and inode of the journal's stream; it is inherited where stderr was redirected."""
    status = os.fstat(descriptor)
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"
