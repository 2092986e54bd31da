"""The bundle file, written and read: nothing in it is parsed before its signatures and its digests hold. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from agent.errors import BundleError
from agent.infer import archive, certificate, dsse, statement
from agent.infer.archive import ENGINE, GOLDEN, MANIFEST, MODEL, PARITY, REQUIRED, SIGNATURE, VARIANT
from agent.infer.certificate import Parity
from agent.infer.encryption import decrypt
from agent.infer.golden import GoldenVectors, read_golden
from agent.infer.graph import check_graph
from agent.infer.manifest import Manifest, read_manifest

SUFFIX = ".stethos"
MAX_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """A model that trusted keys signed.

    `digest` is the SHA-256 of the whole file, `signers` the ids of the trusted keys that signed it, `digests` the SHA-256 of each
    entry as it was signed. `model` and `variants` ("fp16", "int8") are ONNX, decrypted; `engines` are TensorRT's by compute capability ("sm89").
    """

    manifest: Manifest
    model: bytes = field(repr=False)
    golden: GoldenVectors = field(repr=False)
    digest: str
    signers: tuple[str, ...]
    digests: Mapping[str, str] = field(default_factory=dict, repr=False)
    variants: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    engines: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    parity: Parity | None = field(default=None, repr=False)

    @property
    def key_id(self) -> str:
        """The first of the signers."""
        return self.signers[0]


@dataclass(frozen=True, slots=True)
class Unverified:
    """What a bundle says of itself, for people to read, never for the agent to act on: the entries' bytes by name, the claimed signers."""

    manifest: Manifest
    sizes: Mapping[str, int]
    claimed: tuple[str, ...]


def pack(entries: Mapping[str, bytes], keys: Sequence[Ed25519PrivateKey]) -> bytes:
    """Sign and zip the entries of a bundle; the same input gives the same bytes.

    `manifest.json`, `model.onnx` and `golden.npz` must be there; variants, engines and `parity.json` may be.
    """
    others = [name for name in entries if not archive.is_entry(name)]
    if others or not set(REQUIRED) <= set(entries):
        raise ValueError(f"a bundle holds at least {REQUIRED}, and no {others}")
    signature = dsse.sign(statement.PAYLOAD_TYPE, statement.encode(entries), keys)
    return archive.write({**entries, SIGNATURE: signature})


def countersign(data: bytes, keys: Sequence[Ed25519PrivateKey]) -> bytes:
    """The bundle with a signature of each of `keys` more, over the same entries.

    Raises BundleError where the entries are not what its signature states; whether the signatures it has are good is not asked.
    """
    entries = archive.read(data, MAX_BYTES)
    signed = dsse.read(entries[SIGNATURE], SIGNATURE)
    _check_digests(entries, statement.decode(signed))
    read_manifest(entries[MANIFEST])
    return archive.write({**entries, SIGNATURE: dsse.add(entries[SIGNATURE], keys, SIGNATURE)})


def open_bundle(
    data: bytes,
    trusted: Sequence[Ed25519PublicKey],
    *,
    threshold: int = 1,
    max_bytes: int = MAX_BYTES,
    decryption_key: bytes | None = None,
) -> Bundle:
    """Verify, then parse. Raises BundleError, which says what is wrong with which entry and what to do.

    The order is the defence: size, zip structure, signatures of `threshold` different keys of `trusted`, digests; only bytes that passed all
    of them reach a parser. Whether this box may run it is `agent.trust.policy`'s to say.
    """
    entries = archive.read(data, max_bytes)
    signed = dsse.read(entries[SIGNATURE], SIGNATURE)
    signers = dsse.verify(signed, trusted, threshold, "this bundle")
    digests = statement.decode(signed)
    _check_digests(entries, digests)
    manifest = read_manifest(entries[MANIFEST])
    entries = decrypt(entries, decryption_key, manifest)
    variants = _forms("the variants", VARIANT, entries, manifest.variants)
    engines = _forms("engines for", ENGINE, entries, manifest.engines)
    for form, graph in {"fp32": entries[MODEL], **variants}.items():
        check_graph(graph, f"the {form} model")
    return Bundle(
        manifest=manifest,
        model=entries[MODEL],
        golden=read_golden(entries[GOLDEN], manifest),
        digest=hashlib.sha256(data).hexdigest(),
        signers=signers,
        digests=digests,
        variants=variants,
        engines=engines,
        parity=certificate.read(entries[PARITY]) if PARITY in entries else None,
    )


def _forms(what: str, names: re.Pattern[str], entries: Mapping[str, bytes], told: Collection[str]) -> dict[str, bytes]:
    """The optional entries of one kind by their form, "fp16" or "sm89"; they must be those that the manifest tells of."""
    found = {match[1]: data for name, data in entries.items() if (match := names.fullmatch(name))}
    if found.keys() != set(told):
        raise BundleError(
            f"the bundle holds {what} {sorted(found)}, its manifest names {sorted(told)}; export it again"
        )
    return found


def unverified(data: bytes) -> Unverified:
    """What a bundle whose signature nobody checked says of itself; raises BundleError where it is malformed."""
    entries = archive.read(data, MAX_BYTES)
    claimed = dsse.read(entries[SIGNATURE], SIGNATURE).claimed
    sizes = {name: len(each) for name, each in sorted(entries.items())}
    return Unverified(read_manifest(entries[MANIFEST]), sizes, claimed)


def _check_digests(entries: Mapping[str, bytes], signed: Mapping[str, str]) -> None:
    found = entries.keys() - {SIGNATURE}
    if signed.keys() != found:
        raise BundleError(f"the signature covers {sorted(signed)}, not {sorted(found)}; export the bundle again")
    for name in sorted(found):
        if hashlib.sha256(entries[name]).hexdigest() != signed[name]:
            raise BundleError(f"{name} is not what was signed (SHA-256 differs); copy the bundle again from its source")
