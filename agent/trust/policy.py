"""Which of the bundles that trusted keys signed may run on this box: expiry, device class, rollback, allow-list. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from agent.errors import BundleError
from agent.infer.bundle import Bundle, open_bundle
from agent.infer.expiry import check_expiry
from agent.trust.memory import Memory
from agent.trust.root import Chain

DIGEST_PREFIX = "sha256:"


@dataclass(frozen=True, slots=True)
class Policy:
    """What kind of box this is (None: of none in particular), and the bundles that it may run.

    `allow` holds patterns of names (`pump-*`) and digests of whole files (`sha256:HEX`); any may run where it is empty.
    """

    device_class: str | None = None
    allow: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Trust:
    """Everything that decides whether a file may run here. `keys` and `threshold` are those of the newest root of `chain`, where there is one."""

    keys: tuple[Ed25519PublicKey, ...]
    threshold: int
    policy: Policy
    max_bytes: int
    decryption_key: bytes | None = field(default=None, repr=False)
    chain: Chain | None = None

    def rotated(self, chain: Chain) -> Trust:
        """The same with the keys of the newest root of `chain`."""
        return replace(self, chain=chain, keys=chain.newest.keys, threshold=chain.newest.threshold)


@dataclass(frozen=True, slots=True)
class Admitted:
    """A bundle that may run, and what should be known of it all the same."""

    bundle: Bundle
    warnings: tuple[str, ...]


def open_admitted(data: bytes, trust: Trust, memory: Memory, now_ns: int | None) -> Admitted:
    """The bundle in `data`, if it may run here at `now_ns` (None: this box's clock is not synchronised); raises BundleError.

    `memory` is what the box remembers; nothing is noted in it, since a bundle that may run has yet to prove itself.
    """
    warnings: list[str] = []
    if trust.chain is not None:
        root = trust.chain.newest
        warnings += check_expiry(root.words, root.expires, now_ns, "ask the owner of the keys for the newest root file")
    bundle = open_bundle(
        data,
        trust.keys,
        threshold=trust.threshold,
        max_bytes=trust.max_bytes,
        decryption_key=trust.decryption_key,
    )
    warnings += admit(bundle, trust.policy, now_ns=now_ns, highest_counter=memory.highest(bundle.manifest.name))
    return Admitted(bundle, tuple(warnings))


def admit(bundle: Bundle, policy: Policy, *, now_ns: int | None, highest_counter: int) -> list[str]:
    """Warnings about a bundle that may run; raises BundleError for one that may not.

    `highest_counter` is the highest that this box has run of this name, 0 for none; the same release may run again.
    """
    manifest = bundle.manifest
    if not _allowed(bundle, policy.allow):
        raise BundleError(
            f"'{manifest.name}' (sha256:{bundle.digest}) is not on this box's list; add its name or its digest to [trust] allow"
        )
    if manifest.device_classes and policy.device_class not in manifest.device_classes:
        here = "has no class" if policy.device_class is None else f"is '{policy.device_class}'"
        raise BundleError(
            f"the bundle is for {_listed(manifest.device_classes)}, this box {here}; "
            "take the bundle for this kind of box, or set [trust] device_class"
        )
    if manifest.counter < highest_counter:
        raise BundleError(
            f"'{manifest.name}' {manifest.version} is release {manifest.counter}, and this box has run release {highest_counter}: "
            "an older release is not taken; have it signed as a new release, or return by 'stethos bundle rollback'"
        )
    return check_expiry("the bundle", manifest.expires, now_ns, "ask its supplier for a new one")


def _allowed(bundle: Bundle, allow: Sequence[str]) -> bool:
    name, digest = bundle.manifest.name, DIGEST_PREFIX + bundle.digest
    return not allow or any(digest == each or fnmatchcase(name, each) for each in allow)


def _listed(classes: Sequence[str]) -> str:
    return ", ".join(f"'{each[:64]}'" for each in classes[:8])
