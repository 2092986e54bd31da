"""The root file: which keys sign bundles, version by version, each signed by the keys before it and by its own. Pure.

The idea is that of The Update Framework's root role (TUF specification 1.0, 5.3): whoever trusts one version can follow to the newest
by signatures alone. Here a file holds all versions, one DSSE envelope a line, so that a box that was away for years needs no other.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from agent.errors import UNREADABLE, BundleError
from agent.infer import dsse
from agent.infer.expiry import expiry_ns
from agent.infer.keys import key_id, raw_key

SCHEMA = "stethos/root/1"
PAYLOAD_TYPE = "application/vnd.stethos.root+json"
MAX_BYTES = 1024 * 1024
MOST_VERSIONS = 256
MOST_KEYS = dsse.MOST_SIGNATURES


class _Payload(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is signed; keys are the 32 bytes of RFC 8032 in base64."""

    schema: str
    version: int
    threshold: int
    keys: list[str]
    expires: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Root:
    """One version: `threshold` different keys of `keys` must sign a bundle, and the next root. `digest` is the SHA-256 of what was signed."""

    version: int
    keys: tuple[Ed25519PublicKey, ...] = field(repr=False)
    threshold: int
    expires: str | None
    digest: str

    @property
    def words(self) -> str:
        """For messages."""
        return f"root version {self.version}"


@dataclass(frozen=True, slots=True)
class Link:
    """One version and the envelope that it came in; whether that is signed as it must be is not said."""

    root: Root
    envelope: bytes = field(repr=False)
    signed: dsse.Unverified = field(repr=False)


@dataclass(frozen=True, slots=True)
class Chain:
    """A root file whose every version is signed by the version before and by itself."""

    roots: tuple[Root, ...]
    data: bytes = field(repr=False)

    @property
    def newest(self) -> Root:
        """The one that counts."""
        return self.roots[-1]

    def begins(self, other: Chain) -> bool:
        """Whether `other` holds all of these versions, and perhaps newer ones."""
        mine = [root.digest for root in self.roots]
        return [root.digest for root in other.roots[: len(mine)]] == mine


def read_links(data: bytes) -> tuple[Link, ...]:
    """The versions of a root file, from 1 on, with no signature checked: for whoever signs the last one. Raises BundleError."""
    if len(data) > MAX_BYTES:
        raise BundleError(f"the root file has more than {MAX_BYTES} bytes")
    try:
        data.decode()
    except UnicodeDecodeError as error:
        raise BundleError(
            f"the root file is no text: {error}; give the file that 'stethos bundle root' wrote"
        ) from error
    lines = data.splitlines()
    if not 1 <= len(lines) <= MOST_VERSIONS:
        raise BundleError(f"the root file holds {len(lines)} versions, where 1 to {MOST_VERSIONS} may be")
    return tuple(_link(line, version) for version, line in enumerate(lines, start=1))


def read_chain(data: bytes) -> Chain:
    """A root file with every signature checked; raises BundleError where a version is not signed by its own keys and those before."""
    links = read_links(data)
    for link, required in _required(links):
        what = link.root.words if required is link.root else f"{link.root.words} in the name of {required.words}"
        dsse.verify(link.signed, required.keys, required.threshold, what)
    return Chain(tuple(link.root for link in links), data)


def missing(links: Sequence[Link]) -> list[str]:
    """What a root file still lacks, a line for each set of keys of which too few have signed; nothing where it is whole."""
    return [
        f"{link.root.words} is signed by {signed} of the {required.threshold} keys of {required.words} that must have"
        for link, required in _required(links)
        if (signed := len(link.signed.signers(required.keys))) < required.threshold
    ]


def _required(links: Sequence[Link]) -> Iterator[tuple[Link, Root]]:
    """Each version with every version whose keys must have signed it: the one before, and itself."""
    for index, link in enumerate(links):
        if index:
            yield link, links[index - 1].root
        yield link, link.root


def advance(held: Chain | None, offered: Chain) -> Chain:
    """What a box that holds `held` goes on with; raises BundleError where `offered` is older, or does not follow from it."""
    if held is None or held.begins(offered):
        return offered
    if offered.begins(held):
        raise BundleError(
            f"the root file ends at version {offered.newest.version}, this box holds version {held.newest.version}; "
            "an older root is never taken again: give the newest file"
        )
    raise BundleError(
        f"the root file does not follow from version {held.newest.version}, which this box holds; ask the owner of the keys which is his"
    )


def new(keys: Sequence[Ed25519PublicKey], threshold: int, expires: str | None) -> bytes:
    """The root file's first version, still to be signed; raises BundleError where it could never be used."""
    return _line(1, keys, threshold, expires)


def change(
    data: bytes,
    *,
    add: Sequence[Ed25519PublicKey] = (),
    remove: Collection[str] = (),
    threshold: int | None = None,
    expires: str | None,
) -> bytes:
    """The root file with one version more, still to be signed; `remove` are key ids, an absent threshold stays as it was, an absent expiry is none.

    Raises BundleError where the file's versions are not all signed, where a key to be removed is not there, and where the new version could
    never be used.
    """
    newest = read_chain(data).newest
    if unknown := set(remove) - set(map(key_id, newest.keys)):
        raise BundleError(f"{newest.words} holds no key {', '.join(sorted(unknown))}; see 'stethos bundle root show'")
    keys = [*(key for key in newest.keys if key_id(key) not in remove), *add]
    return data + _line(newest.version + 1, keys, newest.threshold if threshold is None else threshold, expires)


def sign(data: bytes, keys: Sequence[Ed25519PrivateKey]) -> bytes:
    """The root file with a signature of each of `keys` more under its last version; raises BundleError for a key that has no say in it."""
    links = read_links(data)
    last = links[-1]
    counted = {raw_key(key) for link in links[-2:] for key in link.root.keys}
    for key in keys:
        if raw_key(key.public_key()) not in counted:
            raise BundleError(f"{last.root.words} and the one before hold no key {key_id(key.public_key())}")
    signed = dsse.add(last.envelope, keys, last.root.words)
    return b"".join(line + b"\n" for line in [*(link.envelope for link in links[:-1]), signed])


def _line(version: int, keys: Sequence[Ed25519PublicKey], threshold: int, expires: str | None) -> bytes:
    encoded = [base64.b64encode(raw_key(key)).decode() for key in keys]
    payload = msgspec.json.encode(_Payload(SCHEMA, version, threshold, encoded, expires))
    _root(payload, version)
    return dsse.sign(PAYLOAD_TYPE, payload, []) + b"\n"


def _link(envelope: bytes, version: int) -> Link:
    what = f"root version {version}"
    signed = dsse.read(envelope, what)
    if signed.payload_type != PAYLOAD_TYPE:
        raise BundleError(f"{what} is '{signed.payload_type[:64]}', not {PAYLOAD_TYPE}; give a root file")
    return Link(_root(signed.payload, version), envelope, signed)


def _root(payload: bytes, version: int) -> Root:
    what = f"root version {version}"
    try:
        found = msgspec.json.decode(payload, type=_Payload)
        if found.expires is not None:
            expiry_ns(found.expires)
        keys = tuple(map(_key, found.keys))
    except (*UNREADABLE, binascii.Error, ValueError) as error:
        raise BundleError(f"{what}: {error}; ask the owner of the keys for the file") from error
    if found.schema != SCHEMA:
        raise BundleError(f"{what} is {found.schema[:64]}, this agent reads {SCHEMA}; update the one that is older")
    if found.version != version:
        raise BundleError(f"line {version} of the root file is version {found.version}; its versions go 1, 2, 3 ...")
    if len(set(map(raw_key, keys))) != len(keys):
        raise BundleError(f"{what} names a key twice")
    if not 1 <= found.threshold <= len(keys) <= MOST_KEYS:
        raise BundleError(
            f"{what} asks for {found.threshold} of {len(keys)} keys; 1 to {MOST_KEYS} keys may be, and as many asked for at most"
        )
    return Root(found.version, keys, found.threshold, found.expires, hashlib.sha256(payload).hexdigest())


def _key(text: str) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))
