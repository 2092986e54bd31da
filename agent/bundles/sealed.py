"""A JSON document with the SHA-256 of its bytes, which shows damage; it is no signature."""

from __future__ import annotations

import hashlib
from typing import TypeVar

import msgspec

from agent.errors import UNREADABLE

Document = TypeVar("Document")


class _Sealed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    document: msgspec.Raw
    sha256: str


def seal(document: object) -> bytes:
    """The bytes of its file."""
    body = msgspec.json.encode(document)
    return msgspec.json.encode(_Sealed(msgspec.Raw(body), hashlib.sha256(body).hexdigest()))


def unseal(data: bytes, kind: type[Document]) -> Document:
    """The document in a file's bytes; raises ValueError where they are not as they were written, or are those of another kind."""
    try:
        return msgspec.json.decode(_body(data), type=kind)
    except UNREADABLE as error:
        raise ValueError(str(error)) from error


def _body(data: bytes) -> bytes | msgspec.Raw:
    try:
        sealed = msgspec.json.decode(data, type=_Sealed)
    except msgspec.ValidationError:
        return data  # an older stethos sealed nothing
    if hashlib.sha256(sealed.document).hexdigest() != sealed.sha256:
        raise ValueError("its bytes do not give its hash")
    return sealed.document
