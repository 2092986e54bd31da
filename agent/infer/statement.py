"""What a bundle's signature says: an in-toto Statement v1 with the SHA-256 of every entry. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec

from agent.errors import UNREADABLE, BundleError
from agent.infer.dsse import Unverified

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:stethos:bundle:1"


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


def encode(entries: Mapping[str, bytes]) -> bytes:
    """The statement over the bytes of every entry by name."""
    subjects = [Subject(name, {"sha256": hashlib.sha256(data).hexdigest()}) for name, data in sorted(entries.items())]
    return msgspec.json.encode(Statement(STATEMENT_TYPE, subjects, PREDICATE_TYPE))


def decode(signed: Unverified) -> dict[str, str]:
    """SHA-256 in hex by entry, of an envelope whose signatures hold; raises BundleError where it states anything else."""
    try:
        statement = msgspec.json.decode(signed.payload, type=Statement)
    except UNREADABLE as error:
        raise BundleError(f"signature.json signs something that is no in-toto statement: {error}") from error
    found = (signed.payload_type, statement.type, statement.predicate_type)
    if found != (PAYLOAD_TYPE, STATEMENT_TYPE, PREDICATE_TYPE):
        raise BundleError(f"signature.json signs {' / '.join(found)}, not a Stethos bundle; export the bundle again")
    names = [subject.name for subject in statement.subject]
    if len(set(names)) != len(names):
        raise BundleError("signature.json names an entry twice; export the bundle again")
    return {subject.name: subject.digest.get("sha256", "") for subject in statement.subject}
