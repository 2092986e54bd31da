"""Where a broker is, from its URL."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

_PORTS = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True, slots=True)
class Broker:
    """A broker's address; `tls` where the URL says mqtts."""

    host: str
    port: int
    tls: bool

    @property
    def loopback(self) -> bool:
        """True where the traffic does not leave this machine."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def parse_broker(url: str) -> Broker:
    """`mqtt://host`, `mqtts://host:8883` or `mqtt://[::1]:1883`; raises ValueError, whose text never repeats a login."""
    if "@" in url:
        raise ValueError("a broker's address carries no login; use the keys username and password")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"no broker address: {error}") from error
    if (
        parts.scheme not in _PORTS
        or not host
        or parts.path
        or parts.query
        or parts.fragment
        or any(map(str.isspace, url))
    ):
        raise ValueError(f"'{url}' is no broker address; write mqtt://HOST:PORT or mqtts://HOST:PORT")
    if port == 0:
        raise ValueError(f"'{url}' has port 0; a broker listens on 1 to 65535")
    return Broker(host, port or _PORTS[parts.scheme], parts.scheme == "mqtts")
