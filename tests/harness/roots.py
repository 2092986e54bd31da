"""Root files with known keys, whole or spoilt."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.infer import dsse
from agent.infer.keys import key_id
from agent.trust import root

ANNE, BEN, CARLA, DORA, EVE = (Ed25519PrivateKey.from_private_bytes(bytes([number] * 32)) for number in range(1, 6))


def publics(*keys: Ed25519PrivateKey) -> list:
    return [key.public_key() for key in keys]


def ids(*keys: Ed25519PrivateKey) -> list[str]:
    return [key_id(key) for key in publics(*keys)]


def first(*keys: Ed25519PrivateKey, threshold: int = 1, expires: str | None = None) -> bytes:
    """Version 1, signed by all of `keys`."""
    return root.sign(root.new(publics(*keys), threshold, expires), keys)


def exchanged(
    data: bytes, old: Ed25519PrivateKey, new: Ed25519PrivateKey, by: list[Ed25519PrivateKey] | None = None
) -> bytes:
    """The next version, with `new` in the place of `old`, signed by both or by those given."""
    grown = root.change(data, add=publics(new), remove=ids(old), expires=None)
    return root.sign(grown, [old, new] if by is None else by)


def envelope(payload: bytes, keys: list[Ed25519PrivateKey], payload_type: str = root.PAYLOAD_TYPE) -> bytes:
    """A line of a root file that says whatever `payload` does."""
    return dsse.sign(payload_type, payload, keys) + b"\n"
