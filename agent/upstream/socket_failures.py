"""What paho met at its socket, which it only logs: what TLS says of our certificate, for one."""

from __future__ import annotations

import logging
import ssl


class SocketFailures(logging.Handler):
    """One connection's; `logger` is for paho."""

    def __init__(self) -> None:
        super().__init__()
        self.latest: OSError | None = None
        self.logger = logging.Logger("paho", logging.ERROR)  # noqa: LOG001 - of this connection alone, and passed on to nobody
        self.logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the error that the record is about."""
        arguments = record.args if isinstance(record.args, tuple) else ()
        self.latest = next((each for each in arguments if isinstance(each, OSError)), self.latest)


def in_words(error: ssl.SSLError) -> str:
    """OpenSSL's own, such as "tlsv13 alert certificate required"."""
    return f"TLS failed: {(error.reason or str(error)).lower().replace('_', ' ')}"
