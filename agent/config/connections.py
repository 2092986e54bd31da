"""Check how brokers are reached: address, encryption, certificates, login."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from agent.config.broker import Broker, parse_broker
from agent.config.checked import Connection
from agent.config.findings import Findings
from agent.config.schema import Secret
from agent.config.secrets import check_private, read_secret
from agent.toml_structs import KeyPath

_LONGEST_PEM_BYTES = 1024 * 1024


class _BrokerKeys(Protocol):
    """The keys that a device's table and the upstream's table have in common."""

    @property
    def broker(self) -> str: ...
    @property
    def ca(self) -> str | None: ...
    @property
    def username(self) -> str | None: ...
    @property
    def password(self) -> Secret | None: ...
    @property
    def allow_plaintext(self) -> bool: ...


def check_connection(
    at: KeyPath, keys: _BrokerKeys, findings: Findings, certificate: str | None = None, key: str | None = None
) -> Connection | None:
    """The connection that the table at `at` describes, or None where its address is none."""
    broker = findings.parsed((*at, "broker"), keys.broker, parse_broker)
    files = {
        name: _readable((*at, name), file, findings)
        for name, file in {"ca": keys.ca, "client_certificate": certificate, "client_key": key}.items()
        if file is not None
    }
    if "client_key" in files and files["client_key"].exists():
        private = files["client_key"]
        findings.attempt(lambda: check_private(private, findings.locate((*at, "client_key"))))
    if (certificate is None) != (key is None):
        findings.problem(at, "client_certificate and client_key belong together", "set both or neither")
    if broker is not None:
        _check_encryption(at, broker, bool(files), keys, findings)
    password = _password(at, keys, findings)
    if broker is None:
        return None
    return Connection(
        broker,
        ca=files.get("ca"),
        certificate=files.get("client_certificate"),
        key=files.get("client_key"),
        username=keys.username,
        password=password,
    )


def check_filter(path: KeyPath, topic: str, findings: Findings) -> None:
    """A topic filter as MQTT v5, 4.7.1 allows it: `+` fills a level, `#` fills the last one."""
    levels = topic.split("/")
    wild_inside = any(len(level) > 1 and ("+" in level or "#" in level) for level in levels)
    if not topic or "\0" in topic or wild_inside or "#" in levels[:-1] or len(topic.encode()) > 65_535:
        findings.problem(path, f"'{topic}' is no topic filter", "'+' stands for one whole level, '#' for all last ones")


def check_base(path: KeyPath, base: str, findings: Findings) -> None:
    """The levels before every topic of ours: no wildcard, no empty level, not the broker's own $ tree."""
    if (
        any(sign in base for sign in "+#\0")
        or base.startswith("$")
        or "" in base.split("/")
        or len(base.encode()) > 256
    ):
        findings.problem(path, f"'{base}' is no base of topics", "write levels like 'stethos' or 'plant/stethos'")


def _check_encryption(at: KeyPath, broker: Broker, has_files: bool, keys: _BrokerKeys, findings: Findings) -> None:  # noqa: FBT001 - private, one caller
    if not broker.tls and has_files:
        findings.problem((*at, "broker"), "certificates are of no use to mqtt://", "write mqtts://, or leave them out")
    if not broker.tls and not broker.loopback and not keys.allow_plaintext:
        what = f"mqtt:// to {broker.host} leaves this machine unencrypted"
        findings.problem((*at, "broker"), what, "use mqtts://, or accept it with allow_plaintext = true")


def _password(at: KeyPath, keys: _BrokerKeys, findings: Findings) -> str | None:
    secret = keys.password
    if secret is None:
        return None
    if keys.username is None:
        findings.problem((*at, "password"), "a password needs a username", "add username = ...")
    where = findings.locate((*at, "password"))
    return findings.attempt(lambda: read_secret(secret, where, findings.beside))


def _readable(path: KeyPath, file: str, findings: Findings) -> Path:
    data = findings.read(path, file, _LONGEST_PEM_BYTES)
    if data is not None and b"-----BEGIN " not in data:
        findings.problem(path, f"{findings.beside / file} is not in PEM form", "convert it with openssl")
    return findings.beside / file
