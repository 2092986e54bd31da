"""Keys in PEM files: what is read, and what is said of everything else."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from agent.errors import ConfigError
from agent.infer.keys import key_id, private_key, private_pem, public_key, public_pem, raw_key
from tests.harness.bundles import KEY, PUBLIC

_EC = generate_private_key(SECP256R1())
_EC_PRIVATE = _EC.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)
_LOCKED = KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")
)


def test_keys_come_back_from_their_files() -> None:
    assert public_key(public_pem(PUBLIC), "x") == PUBLIC
    assert raw_key(private_key(private_pem(KEY), "x").public_key()) == raw_key(PUBLIC)


def test_a_key_is_named_by_the_sha_256_of_its_32_bytes() -> None:
    assert len(raw_key(PUBLIC)) == 32
    assert key_id(PUBLIC) == hashlib.sha256(raw_key(PUBLIC)).hexdigest()[:16]


@pytest.mark.parametrize(
    ("read", "pem", "message"),
    [
        (public_key, b"", "here: no public key in PEM form (give the .pub file that 'stethos bundle keygen' wrote)"),
        (public_key, private_pem(KEY), "here: no public key in PEM form"),
        (public_key, public_pem(_EC.public_key()), "here: the public key is not Ed25519"),
        (private_key, b"", "here: no unencrypted private key in PEM form (give the .key file"),
        (private_key, public_pem(PUBLIC), "here: no unencrypted private key in PEM form"),
        (private_key, _LOCKED, "here: no unencrypted private key in PEM form"),
        (private_key, _EC_PRIVATE, "here: the private key is not Ed25519"),
    ],
)
def test_anything_else_is_refused_with_its_place(read, pem: bytes, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(pem, "here")
    assert str(caught.value).startswith(message)
