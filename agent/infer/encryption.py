"""Models and engines that only a box with the key can read: AES-256-GCM, each bound to its name and its bundle. Pure but for random numbers."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from agent.errors import BundleError
from agent.infer.archive import ENGINE, MODEL, VARIANT
from agent.infer.manifest import Encryption, Manifest

KEY_BYTES = 32
# NIST SP 800-38D: 96 bits of nonce, 128 of tag. Random nonces are good for 2**32 entries under one key.
_NONCE_BYTES, _TAG_BYTES = 12, 16


def new_key() -> bytes:
    """A key that nobody else has."""
    return AESGCM.generate_key(8 * KEY_BYTES)


def parse_key(text: str) -> bytes:
    """The key in a file that 'stethos bundle keygen --decryption' wrote: 64 hex digits. Raises ValueError, which does not repeat it."""
    try:
        key = bytes.fromhex(text.strip())
    except ValueError:  # its text would quote the secret
        key = b""
    if len(key) != KEY_BYTES:
        raise ValueError("a decryption key is 64 hex digits; make one with 'stethos bundle keygen --decryption'")
    return key


def describe(key: bytes) -> Encryption:
    """What a manifest says of bundles that `key` (32 bytes) encrypts."""
    return Encryption(key_id=hashlib.sha256(b"stethos encryption key\0" + key).hexdigest()[:16])


def is_secret(name: str) -> bool:
    """Whether the entry is encrypted where a bundle is: the models and engines; the rest must be read without a key."""
    return name == MODEL or bool(VARIANT.fullmatch(name) or ENGINE.fullmatch(name))


def encrypt(entries: Mapping[str, bytes], key: bytes, manifest: Manifest) -> dict[str, bytes]:
    """`entries` with the secret ones as nonce, ciphertext, tag; `manifest` must already say `describe(key)`."""
    if manifest.encryption != describe(key):
        raise ValueError("the manifest names another encryption key")
    aead = AESGCM(key)
    return {
        name: _sealed(aead, os.urandom(_NONCE_BYTES), data, _bound(name, manifest)) if is_secret(name) else data
        for name, data in entries.items()
    }


def decrypt(entries: Mapping[str, bytes], key: bytes | None, manifest: Manifest) -> dict[str, bytes]:
    """`entries` as they were before `encrypt`, and as they are where the manifest names no encryption.

    Raises BundleError where the key is missing, is another, or an entry is not what this key encrypted under its name for this bundle.
    """
    if manifest.encryption is None:
        return dict(entries)
    wanted = manifest.encryption.key_id[:64]
    if key is None:
        raise BundleError(f"the bundle is encrypted with key {wanted}; set [trust] decryption_key")
    if (found := describe(key).key_id) != wanted:
        raise BundleError(f"the bundle is encrypted with key {wanted}, [trust] decryption_key is {found}")
    aead = AESGCM(key)
    return {name: _opened(aead, name, data, manifest) if is_secret(name) else data for name, data in entries.items()}


def _sealed(aead: AESGCM, nonce: bytes, data: bytes, bound: bytes) -> bytes:
    return nonce + aead.encrypt(nonce, data, bound)


def _opened(aead: AESGCM, name: str, data: bytes, manifest: Manifest) -> bytes:
    if len(data) < _NONCE_BYTES + _TAG_BYTES:
        raise BundleError(f"{name} is too short to be encrypted; export the bundle again")
    try:
        return aead.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], _bound(name, manifest))
    except InvalidTag as error:
        raise BundleError(f"{name} does not decrypt as this entry of this bundle; export the bundle again") from error


def _bound(name: str, manifest: Manifest) -> bytes:
    """The associated data: where the ciphertext belongs, so that it can be put nowhere else."""
    return msgspec.json.encode(["stethos/encrypted/1", name, manifest.name, manifest.version, manifest.counter])
