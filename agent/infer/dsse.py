"""Signed payloads: DSSE v1 envelopes with one or several Ed25519 signatures, of which a threshold must be trusted. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from agent.errors import UNREADABLE, BundleError
from agent.infer.keys import key_id, raw_key

MOST_SIGNATURES = 16
_URL_SAFE = str.maketrans("-_", "+/")


class Signature(msgspec.Struct, frozen=True):
    """One signature; `keyid` is a hint for people and decides nothing (DSSE v1, protocol.md)."""

    sig: str
    keyid: str = ""


class Envelope(msgspec.Struct, frozen=True, rename={"payload_type": "payloadType"}):
    """The DSSE envelope as JSON."""

    payload: str
    payload_type: str
    signatures: list[Signature]


@dataclass(frozen=True, slots=True)
class Unverified:
    """An envelope's payload, which anybody may have written, and the signatures (id of the claimed key, raw bytes) that come with it."""

    payload_type: str
    payload: bytes
    signatures: tuple[tuple[str, bytes], ...]

    @property
    def claimed(self) -> tuple[str, ...]:
        """Whom it says it is signed by, short enough to be shown."""
        return tuple(key[:64] or "unnamed" for key, _ in self.signatures)

    def signers(self, trusted: Sequence[Ed25519PublicKey]) -> tuple[Ed25519PublicKey, ...]:
        """Those of `trusted` that signed it, each once however often it signed or is listed."""
        message = pae(self.payload_type, self.payload)
        found: dict[bytes, Ed25519PublicKey] = {}
        for _, signature in self.signatures:
            for key in trusted:
                if _signed(key, signature, message):
                    found.setdefault(raw_key(key), key)
        return tuple(found.values())


def pae(payload_type: str, payload: bytes) -> bytes:
    """The bytes that are signed: DSSE v1 pre-authentication encoding."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign(payload_type: str, payload: bytes, keys: Sequence[Ed25519PrivateKey]) -> bytes:
    """An envelope (JSON) of `payload` that each of `keys` signs; with no key one that others are still to sign."""
    return _encoded(Unverified(payload_type, payload, ()), keys)


def add(envelope: bytes, keys: Sequence[Ed25519PrivateKey], what: str) -> bytes:
    """The envelope with a signature of each of `keys` more; a key that has signed it already changes nothing.

    Raises BundleError as `read` does, and where there would be more signatures than a reader takes.
    """
    return _encoded(read(envelope, what), keys)


def read(envelope: bytes, what: str) -> Unverified:
    """What `envelope` holds, with nothing proven; raises BundleError, which calls it `what`, where it is malformed."""
    try:
        parsed = msgspec.json.decode(envelope, type=Envelope)
    except UNREADABLE as error:
        raise BundleError(f"{what} is no DSSE envelope: {error}; make it again") from error
    if len(parsed.signatures) > MOST_SIGNATURES:
        raise BundleError(f"{what} has {len(parsed.signatures)} signatures, more than {MOST_SIGNATURES}")
    signatures = tuple((each.keyid, _decode(each.sig, what, "signature")) for each in parsed.signatures)
    return Unverified(parsed.payload_type, _decode(parsed.payload, what, "payload"), signatures)


def verify(found: Unverified, trusted: Sequence[Ed25519PublicKey], threshold: int, what: str) -> tuple[str, ...]:
    """The ids of the trusted keys that signed `found`; raises BundleError where they are fewer than `threshold`."""
    signers = found.signers(trusted)
    if len(signers) >= max(1, threshold):
        return tuple(map(key_id, signers))
    claimed = ", ".join(found.claimed) or "nobody"
    known = ", ".join(map(key_id, trusted)) or "none"
    counted = f"{len(signers)} of the {threshold} trusted keys that must have" if signers else "no trusted key"
    raise BundleError(
        f"{counted} signed {what}: it claims {claimed}, trusted are {known}; "
        "trust the signer's public key under [trust], or let whoever is trusted sign it"
    )


def _encoded(unsigned: Unverified, keys: Sequence[Ed25519PrivateKey]) -> bytes:
    message = pae(unsigned.payload_type, unsigned.payload)
    signatures = dict.fromkeys(unsigned.signatures)
    # Ed25519 is deterministic: the same key gives the same signature again.
    signatures |= dict.fromkeys((key_id(key.public_key()), key.sign(message)) for key in keys)
    if len(signatures) > MOST_SIGNATURES:
        raise BundleError(f"{len(signatures)} signatures are more than the {MOST_SIGNATURES} that a reader takes")
    encoded = [Signature(_encode(signature), key) for key, signature in signatures]
    return msgspec.json.encode(Envelope(_encode(unsigned.payload), unsigned.payload_type, encoded))


def _signed(key: Ed25519PublicKey, signature: bytes, message: bytes) -> bool:
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decode(text: str, what: str, part: str) -> bytes:
    """DSSE allows standard and URL-safe base64 alike."""
    try:
        return base64.b64decode(text.translate(_URL_SAFE), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BundleError(f"{what}: the {part} is no base64: {error}; make it again") from error
