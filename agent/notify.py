"""Tells systemd how the service fares (sd_notify(3)): one datagram to its socket, nothing where there is none."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping

_log = logging.getLogger(__name__)
_NS_PER_US = 1_000


class Notifier:
    """The service manager's ear. Without $NOTIFY_SOCKET every call does nothing, so callers need not care."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address  # @ spells an abstract socket
        self.watchdog_ns = _watchdog_ns(environ)

    def still_starting(self, status: str, within_s: float) -> None:
        """Start-up takes longer than usual, but will go on or say so again within that time."""
        self._send(f"EXTEND_TIMEOUT_USEC={round(within_s * 1e6)}\nSTATUS={_one_line(status)}")

    def ready(self, status: str) -> None:
        """Start-up is over."""
        self._send(f"READY=1\nSTATUS={_one_line(status)}")

    def status(self, status: str) -> None:
        """One line for `systemctl status`."""
        self._send(f"STATUS={_one_line(status)}")

    def watchdog(self) -> None:
        """Still alive; due well within `watchdog_ns` of the last one."""
        self._send("WATCHDOG=1")

    def reloading(self, status: str) -> None:
        """The agent starts anew in its place; `ready` ends it."""
        self._send(f"RELOADING=1\nSTATUS={_one_line(status)}")

    def stopping(self, status: str) -> None:
        """Shutdown has begun."""
        self._send(f"STOPPING=1\nSTATUS={_one_line(status)}")

    def _send(self, state: str) -> None:
        """A lost message is logged and no more: if systemd misses it, its own timeout acts."""
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.settimeout(1.0)
                sender.sendto(state.encode(), self._address)
        except OSError as error:
            _log.warning("systemd did not take %r: %s", state.split("\n", maxsplit=1)[0], error)


def _watchdog_ns(environ: Mapping[str, str]) -> int | None:
    """The time after which systemd takes silence for death, or None where it watches no one or another process."""
    usec, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", str(os.getpid()))
    if not usec.isdecimal() or int(usec) == 0 or pid != str(os.getpid()):
        return None
    return int(usec) * _NS_PER_US


def _one_line(text: str) -> str:
    return " ".join(text.split())
