"""Check whose bundles may run and which: keys or a root file, what the box remembers, and the key that opens encrypted models."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from agent.bundles.twice import COPY
from agent.config.checked import CheckedTrust
from agent.config.findings import Findings
from agent.config.load import unreadable
from agent.config.schema import Config, Secret
from agent.config.secrets import read_secret
from agent.errors import BundleError
from agent.infer.encryption import parse_key
from agent.infer.keys import public_key, raw_key
from agent.trust import memory, root
from agent.trust.memory import Memory
from agent.trust.policy import DIGEST_PREFIX, Policy, Trust
from agent.trust.root import Chain

_LONGEST_KEY_BYTES = 65_536
_LEAST_BYTES, _MOST_BYTES = 1024 * 1024, 1024 * 1024 * 1024
_ALLOWED = re.compile(rf"{DIGEST_PREFIX}[0-9a-f]{{64}}|[^\s:/]{{1,128}}")


def check_trust(config: Config, findings: Findings) -> CheckedTrust | None:
    """Whom and what this box trusts; None where problems leave no just verdict on any bundle."""
    before = len(findings.problems)
    policy, max_bytes = _policy(config, findings), config.trust.max_bytes
    if not _LEAST_BYTES <= max_bytes <= _MOST_BYTES:
        findings.problem(("trust", "max_bytes"), f"{max_bytes} bytes", f"write {_LEAST_BYTES} to {_MOST_BYTES}")
    remembered = _remembered(findings.beside / config.agent.state / memory.FILE, findings)
    decryption_key = _decryption_key(config.trust.decryption_key, findings)
    if config.trust.root is None:
        signers = _by_keys(config, findings)
        chain = None
    else:
        chain = None if remembered is None else _by_root(config, config.trust.root, remembered, findings)
        signers = None if chain is None else (chain.newest.keys, chain.newest.threshold)
    if remembered is None or signers is None or len(findings.problems) > before:
        return None
    return CheckedTrust(Trust(*signers, policy, max_bytes, decryption_key, chain), remembered)


def _policy(config: Config, findings: Findings) -> Policy:
    trust = config.trust
    if trust.device_class is not None:
        findings.identifier(("trust", "device_class"), trust.device_class)
    for index, allowed in enumerate(trust.allow):
        if not _ALLOWED.fullmatch(allowed):
            remedy = f"write a bundle's name, a pattern such as pump-*, or {DIGEST_PREFIX} and the 64 hex digits of sha256sum"
            findings.problem(("trust", "allow", index), f"'{allowed}' names no bundle", remedy)
    return Policy(trust.device_class, tuple(trust.allow))


def _by_keys(config: Config, findings: Findings) -> tuple[tuple[Ed25519PublicKey, ...], int] | None:
    """The keys and how many of them must sign, or None where one is unreadable: then no verdict on a signature would be just."""
    files, threshold = config.trust.keys, 1 if config.trust.threshold is None else config.trust.threshold
    keys = [key for index, file in enumerate(files) if (key := _key(index, file, findings)) is not None]
    if not files:
        remedy = "add the .pub file of whoever signs bundles, or a root file"
        findings.problem(("trust", "keys"), "no key is trusted, so no bundle may run", remedy)
    if len(keys) != len(files) or not files:
        return None
    different = len(set(map(raw_key, keys)))
    if not 1 <= threshold <= different:
        what = f"{threshold} signatures are asked for, of {different} different keys"
        findings.problem(("trust", "threshold"), what, f"write 1 to {different}")
        return None
    return tuple(keys), threshold


def _key(index: int, file: str, findings: Findings) -> Ed25519PublicKey | None:
    path = ("trust", "keys", index)
    pem = findings.read(path, file, _LONGEST_KEY_BYTES)
    return None if pem is None else findings.attempt(lambda: public_key(pem, f"{findings.locate(path)}: {file}"))


def _by_root(config: Config, file: str, remembered: Memory, findings: Findings) -> Chain | None:
    """The newest root: that of the file, or that which the box has taken since."""
    path = ("trust", "root")
    if config.trust.keys or config.trust.threshold is not None:
        findings.problem(path, "the root file says which keys sign, and how many", "leave out keys and threshold")
    data = findings.read(path, file, root.MAX_BYTES)
    if data is None:
        return None
    try:
        held, offered = remembered.chain(), root.read_chain(data)
        # A root that came after the configuration was written is the box's own; the file has not gone back to an older one.
        return held if held is not None and offered.begins(held) else root.advance(held, offered)
    except BundleError as error:
        findings.problem(path, f"{file}: {error}")
        return None


def _remembered(file: Path, findings: Findings) -> Memory | None:
    """What the box remembers; nothing where there is no file yet, or one that only the agent's own user may read."""
    path = ("agent", "state")
    try:
        return _memory(file)
    except (FileNotFoundError, NotADirectoryError):
        return Memory()
    except PermissionError as error:
        seen = unreadable(findings.locate(path), file, error)
        findings.warn(path, f"{seen.what}, so older releases and roots are not recognised", seen.remedy)
        return Memory()
    except BundleError as error:
        with contextlib.suppress(OSError, BundleError):
            return _memory(file.with_name(file.name + COPY))
        findings.problem(path, f"{file}: {error}")
        return None


def _memory(file: Path) -> Memory:
    """As it was written; raises OSError where there is none, or where it is another user's, BundleError else."""
    try:
        with file.open("rb") as opened:
            return memory.decode(opened.read(memory.MAX_BYTES + 1))
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        if isinstance(error, PermissionError) and file.parent.stat().st_uid != os.geteuid():
            raise
        raise memory.unusable(str(error.strerror)) from error


def _decryption_key(secret: Secret | None, findings: Findings) -> bytes | None:
    path = ("trust", "decryption_key")
    if secret is None:
        return None
    text = findings.attempt(lambda: read_secret(secret, findings.locate(path), findings.beside))
    return None if text is None else findings.parsed(path, text, parse_key)
