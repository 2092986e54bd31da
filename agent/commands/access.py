"""Which requests from the network are carried out: an allow-list, signatures over the exact bytes, and each signed request only once."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from agent.commands.catalogue import COMMANDS, REMOTE
from agent.commands.request import RequestError, command_named, fields_of
from agent.errors import UNREADABLE
from agent.infer.dsse import pae
from agent.infer.keys import key_id
from agent.snapshots import read_snapshot
from agent.types import NANOSECONDS

PAYLOAD_TYPE = "application/vnd.stethos.request+json"
# The clocks of the box and of whoever signs may differ by this much.
WINDOW_NS = 300 * NANOSECONDS
MOST_NONCES = 1_000
_NONCE_LENGTHS = range(8, 65)


class _Signed(msgspec.Struct, frozen=True):
    payload: str
    signature: str


class _Times(msgspec.Struct, array_like=True):
    nonce: str
    time_ns: int


class Nonces:
    """Nonces of requests that were taken, for as long as their time is within the window; bounded, and never forgotten before."""

    def __init__(self) -> None:
        self._times: dict[str, int] = {}

    def take(self, nonce: str, time_ns: int, now_ns: int) -> None:
        """Raises RequestError where it was taken before, or its time is not now."""
        if abs(now_ns - time_ns) > WINDOW_NS:
            raise RequestError(f"its time is more than {WINDOW_NS // NANOSECONDS} s from this agent's clock")
        if nonce in self._times:
            raise RequestError("its nonce was used before: sign each request anew")
        self._times = {known: then for known, then in self._times.items() if abs(now_ns - then) <= WINDOW_NS}
        if len(self._times) >= MOST_NONCES:
            raise RequestError(f"{MOST_NONCES} signed requests came within {WINDOW_NS // NANOSECONDS} s: try later")
        self._times[nonce] = time_ns

    def snapshot(self) -> bytes:
        """Everything that must outlive a restart."""
        return msgspec.json.encode([_Times(*item) for item in self._times.items()])

    def restore(self, snapshot: bytes) -> None:
        """Go on from `snapshot`; raises ValueError, and changes nothing, where it is damaged."""
        times = read_snapshot(snapshot, list[_Times], "the nonces of signed requests")
        self._times = {each.nonce: each.time_ns for each in times}


class Access:
    """What the network may ask for. With `keys`, whatever changes anything must be signed by one of them."""

    def __init__(self, agent: str, allowed: Sequence[str], keys: Sequence[Ed25519PublicKey]) -> None:
        """`agent` is the id that signed requests must name; `allowed` are commands' names, `*` standing for anything."""
        self._agent = agent
        self._allowed = allowed
        self._keys = keys
        self.nonces = Nonces()

    def allows(self, name: str) -> bool:
        """Whether the command is on the list, and may be; what changes the configuration only by its whole name."""
        if name not in REMOTE:
            return False
        return name in self._allowed or (not COMMANDS[name].config and any(fnmatchcase(name, p) for p in self._allowed))

    def admit(self, name: str, payload: bytes, now_ns: int) -> tuple[dict[str, Any], str | None]:
        """The request's fields, and the id of the key that signed it, None where nobody did. Raises RequestError."""
        fields = fields_of(payload, name)
        command = command_named(name)
        if command.local:
            raise RequestError(f"'{name}' is taken on the box alone, by `stethos {name.replace('.', ' ')}`")
        if not self.allows(name):
            raise RequestError(f"'{name}' may not be asked for over MQTT here: [commands] mqtt lists what may")
        if "signature" in fields and self._keys:
            return self._verified(name, fields, now_ns)
        if self._keys and not command.reads:
            raise RequestError(f"'{name}' must be signed: [commands] keys is set")
        return fields, None

    def _verified(self, name: str, fields: dict[str, Any], now_ns: int) -> tuple[dict[str, Any], str]:
        try:
            signed = msgspec.convert(fields, _Signed)
            payload = base64.b64decode(signed.payload, validate=True)
            signature = base64.b64decode(signed.signature, validate=True)
        except (*UNREADABLE, binascii.Error, ValueError) as error:
            raise RequestError(f"a signed request has payload and signature in base64: {error}") from error
        key = self._signer(pae(PAYLOAD_TYPE, payload), signature)
        inner = fields_of(payload, name)
        head = {part: inner.pop(part, None) for part in ("agent", "command", "time_ns", "nonce")}
        if (head["agent"], head["command"]) != (self._agent, name):
            raise RequestError("it was signed for another agent or command")
        nonce, time_ns = head["nonce"], head["time_ns"]
        if not (isinstance(nonce, str) and len(nonce) in _NONCE_LENGTHS and type(time_ns) is int):
            raise RequestError("a signed request has time_ns, and a nonce of 8 to 64 characters")
        self.nonces.take(nonce, time_ns, now_ns)
        return inner, key_id(key)

    def _signer(self, message: bytes, signature: bytes) -> Ed25519PublicKey:
        for key in self._keys:
            try:
                key.verify(signature, message)
            except InvalidSignature:
                continue
            return key
        raise RequestError("no key in [commands] keys signed it")


def sign(agent: str, name: str, fields: dict[str, Any], *, key: Ed25519PrivateKey, time_ns: int, nonce: str) -> bytes:
    """A signed request's payload, for whoever sends one."""
    inner = msgspec.json.encode({**fields, "agent": agent, "command": name, "time_ns": time_ns, "nonce": nonce})
    signed = {
        "payload": base64.b64encode(inner).decode(),
        "signature": base64.b64encode(key.sign(pae(PAYLOAD_TYPE, inner))).decode(),
    }
    if "transaction" in fields:
        signed["transaction"] = fields["transaction"]
    return msgspec.json.encode(signed)
