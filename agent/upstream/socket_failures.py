"""What paho met at its socket, which it only logs: what TLS says of our certificate, for one."""

from __future__ import annotations

import contextlib
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

    def read_last_words(self, sock: object) -> None:
        """Before `sock` is closed: where a write failed as the broker had hung up, why it did so may lie there unread.

        Over TLS 1.3 a handshake is over for the client before the broker has seen its certificate (RFC 8446, 4.4 and 6.2), so that a
        refusal comes while the first packet is written.
        """
        if isinstance(sock, ssl.SSLSocket):
            with contextlib.suppress(OSError):
                try:
                    sock.recv(1)
                except ssl.SSLError as error:
                    if _is_alert(error):
                        self.latest = error

    @property
    def alert(self) -> str | None:
        """What the broker said over TLS of why it hangs up; None where it said nothing."""
        return in_words(self.latest) if isinstance(self.latest, ssl.SSLError) and _is_alert(self.latest) else None


def in_words(error: ssl.SSLError) -> str:
    """OpenSSL's own, such as "tlsv13 alert certificate required"."""
    return f"TLS failed: {(error.reason or str(error)).lower().replace('_', ' ')}"


def _is_alert(error: ssl.SSLError) -> bool:
    return "ALERT" in (error.reason or "")
