"""How the broker is reached and logged in to, with nothing left to look up."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path

from agent.errors import LinkError


@dataclass(frozen=True, slots=True)
class Tls:
    """Files in PEM form; without `ca` the system's certificate authorities are trusted."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def context(self) -> ssl.SSLContext:
        """TLS 1.2 or newer, the broker's certificate and host name checked; raises LinkError for files that do not do.

        Made for each connection, so that renewed files are taken up without a restart.
        """
        try:
            context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=self.ca)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if self.certificate is not None:
                context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as error:
            files = ", ".join(str(file) for file in (self.ca, self.certificate, self.key) if file is not None)
            raise LinkError(f"TLS cannot be set up with {files}: {error}") from error
        return context


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """One broker and one agent's login to it; without `tls` the connection is in the clear."""

    host: str
    port: int
    client_id: str
    availability_topic: str
    tls: Tls | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    keepalive_s: int = 20
