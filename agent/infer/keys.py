"""Ed25519 keys as PEM files: the workstation signs with the private one, the box trusts the public one. Pure."""

from __future__ import annotations

import hashlib

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from agent.errors import ConfigError, Problem


def public_key(pem: bytes, where: str) -> Ed25519PublicKey:
    """Read a public key; raises ConfigError that names `where` for anything else, a private key too."""
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        remedy = "give the .pub file that 'stethos bundle keygen' wrote"
        raise ConfigError([Problem(where, "no public key in PEM form", remedy)]) from error
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError([Problem(where, "the public key is not Ed25519", "make one with 'stethos bundle keygen'")])
    return key


def private_key(pem: bytes, where: str) -> Ed25519PrivateKey:
    """Read an unencrypted private key; raises ConfigError that names `where` for anything else."""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        remedy = "give the .key file that 'stethos bundle keygen' wrote"
        raise ConfigError([Problem(where, "no unencrypted private key in PEM form", remedy)]) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError([Problem(where, "the private key is not Ed25519", "make one with 'stethos bundle keygen'")])
    return key


def private_pem(key: Ed25519PrivateKey) -> bytes:
    """PKCS #8, unencrypted: the file's mode protects it."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def public_pem(key: Ed25519PublicKey) -> bytes:
    """SubjectPublicKeyInfo."""
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def key_id(key: Ed25519PublicKey) -> str:
    """The first 16 hex digits of the SHA-256 of the raw public key: enough to tell keys apart for people."""
    return hashlib.sha256(raw_key(key)).hexdigest()[:16]


def raw_key(key: Ed25519PublicKey) -> bytes:
    """The 32 bytes of the public key (RFC 8032), by which keys are told apart where it matters."""
    return key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
