"""Signed statements about named bytes: an in-toto Statement v1 in a DSSE v1 envelope, signed with Ed25519. Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from agent.errors import UNREADABLE, BundleError
from agent.infer.keys import key_id

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:stethos:bundle:1"
_MAX_SIGNATURES = 16
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


class Subject(msgspec.Struct, frozen=True):
    """A named artifact and its digests by algorithm."""

    name: str
    digest: dict[str, str]


class Statement(msgspec.Struct, frozen=True, rename={"type": "_type", "predicate_type": "predicateType"}):
    """in-toto Statement v1; everything there is to say stands in the subjects, so the predicate is empty."""

    type: str
    subject: list[Subject]
    predicate_type: str
    predicate: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Verified:
    """SHA-256 by name, as a trusted key signed them, and which key that was."""

    sha256: Mapping[str, str]
    key_id: str


def pae(payload_type: str, payload: bytes) -> bytes:
    """The bytes that are signed: DSSE v1 pre-authentication encoding."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign(entries: Mapping[str, bytes], key: Ed25519PrivateKey) -> bytes:
    """An envelope (JSON) over the SHA-256 of every entry."""
    subjects = [Subject(name, {"sha256": hashlib.sha256(data).hexdigest()}) for name, data in sorted(entries.items())]
    payload = msgspec.json.encode(Statement(STATEMENT_TYPE, subjects, PREDICATE_TYPE))
    signature = Signature(_encode(key.sign(pae(PAYLOAD_TYPE, payload))), key_id(key.public_key()))
    return msgspec.json.encode(Envelope(_encode(payload), PAYLOAD_TYPE, [signature]))


def verify(envelope: bytes, trusted: Sequence[Ed25519PublicKey]) -> Verified:
    """The statement of `envelope`, parsed only after a trusted key's signature over it was verified.

    Raises BundleError where the envelope is malformed, no trusted key signed it, or it states something else than
    SHA-256 digests of a bundle.
    """
    try:
        parsed = msgspec.json.decode(envelope, type=Envelope)
    except UNREADABLE as error:
        raise BundleError(f"signature.json is no DSSE envelope: {error}; export the bundle again") from error
    payload = _decode(parsed.payload, "payload")
    signer = _signer(parsed, payload, trusted)
    return Verified(_digests(payload, parsed.payload_type), key_id(signer))


def _signer(envelope: Envelope, payload: bytes, trusted: Sequence[Ed25519PublicKey]) -> Ed25519PublicKey:
    if len(envelope.signatures) > _MAX_SIGNATURES:
        raise BundleError(f"signature.json has {len(envelope.signatures)} signatures, more than {_MAX_SIGNATURES}")
    message = pae(envelope.payload_type, payload)
    for signature in envelope.signatures:
        raw = _decode(signature.sig, "signature")
        for key in trusted:
            try:
                key.verify(raw, message)
            except InvalidSignature:
                continue
            return key
    claimed = ", ".join(signature.keyid[:64] or "unnamed" for signature in envelope.signatures) or "nobody"
    known = ", ".join(key_id(key) for key in trusted) or "none"
    raise BundleError(
        f"no trusted key signed this bundle: it claims {claimed}, trusted are {known}; "
        "add the signer's public key to [trust] keys, or sign the bundle with a trusted key"
    )


def _digests(payload: bytes, payload_type: str) -> dict[str, str]:
    try:
        statement = msgspec.json.decode(payload, type=Statement)
    except UNREADABLE as error:
        raise BundleError(f"signature.json signs something that is no in-toto statement: {error}") from error
    found = (payload_type, statement.type, statement.predicate_type)
    if found != (PAYLOAD_TYPE, STATEMENT_TYPE, PREDICATE_TYPE):
        raise BundleError(f"signature.json signs {' / '.join(found)}, not a Stethos bundle; export the bundle again")
    names = [subject.name for subject in statement.subject]
    if len(set(names)) != len(names):
        raise BundleError("signature.json names an entry twice; export the bundle again")
    return {subject.name: subject.digest.get("sha256", "") for subject in statement.subject}


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decode(text: str, what: str) -> bytes:
    """DSSE allows standard and URL-safe base64 alike."""
    try:
        return base64.b64decode(text.translate(_URL_SAFE), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BundleError(f"signature.json: the {what} is no base64: {error}; export the bundle again") from error
