"""Attack stories of signatures: nobody's, a stranger's, too few or borrowed ones, and nothing is parsed before they hold."""

from __future__ import annotations

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.errors import BundleError
from agent.infer import bundle as bundles
from agent.infer import statement
from agent.infer.bundle import countersign, open_bundle, pack
from agent.infer.keys import key_id
from tests.harness.attacks import refused
from tests.harness.bundles import KEY, OTHER_KEY, PUBLIC, entries, full_entries, tiny_bundle
from tests.harness.zips import unzipped, zipped

BOTH = [PUBLIC, OTHER_KEY.public_key()]


def test_the_signature_is_no_envelope() -> None:
    parts = unzipped(tiny_bundle()) | {"signature.json": b"trust me"}
    refused(zipped(parts.items()), r"^signature\.json is no DSSE envelope")
    with pytest.raises(BundleError, match=r"^signature\.json is no DSSE envelope"):
        countersign(zipped(parts.items()), [KEY])


def test_nobody_signed_it() -> None:
    refused(zipped(entries().items()), "not signed")
    refused(pack(entries(), []), "no trusted key signed this bundle: it claims nobody")


def test_a_stranger_signed_it() -> None:
    refused(
        pack(entries(), [OTHER_KEY]), f"no trusted key signed this bundle: it claims {key_id(OTHER_KEY.public_key())}"
    )


def test_a_stranger_signed_it_and_claims_to_be_trusted() -> None:
    parts = unzipped(pack(entries(), [OTHER_KEY]))
    envelope = msgspec.json.decode(parts["signature.json"])
    envelope["signatures"][0]["keyid"] = key_id(PUBLIC)
    parts["signature.json"] = msgspec.json.encode(envelope)
    refused(zipped(parts.items()), f"no trusted key signed this bundle: it claims {key_id(PUBLIC)}")


def test_two_must_sign_and_one_did() -> None:
    message = "1 of the 2 trusted keys that must have signed this bundle"
    refused(pack(entries(), [KEY]), message, trusted=BOTH, threshold=2)
    signed = countersign(pack(entries(), [KEY]), [OTHER_KEY])
    assert open_bundle(signed, BOTH, threshold=2).signers == tuple(map(key_id, BOTH))


def test_two_must_sign_and_one_did_so_twice() -> None:
    parts = unzipped(pack(entries(), [KEY]))
    envelope = msgspec.json.decode(parts["signature.json"])
    again = envelope["signatures"][0] | {"keyid": key_id(OTHER_KEY.public_key())}
    parts["signature.json"] = msgspec.json.encode(envelope | {"signatures": [*envelope["signatures"], again]})
    refused(zipped(parts.items()), "1 of the 2 trusted keys", trusted=BOTH, threshold=2)


def test_two_must_sign_and_the_operator_listed_one_key_twice() -> None:
    refused(pack(entries(), [KEY]), "1 of the 2 trusted keys", trusted=[PUBLIC, PUBLIC], threshold=2)


def test_two_must_sign_and_the_other_one_is_a_stranger() -> None:
    stranger = Ed25519PrivateKey.generate()
    refused(pack(entries(), [KEY, stranger]), "1 of the 2 trusted keys", trusted=BOTH, threshold=2)


def test_a_signature_of_another_bundle_is_added() -> None:
    parts, other = unzipped(pack(entries(), [KEY])), unzipped(tiny_bundle(version="2.0.0"))
    envelope, borrowed = (msgspec.json.decode(each["signature.json"]) for each in (parts, other))
    envelope["signatures"] = borrowed["signatures"]
    parts["signature.json"] = msgspec.json.encode(envelope)
    refused(zipped(parts.items()), "no trusted key")


def test_nothing_is_parsed_before_the_signature_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    def parsed(*_: object) -> None:
        pytest.fail("an entry was parsed before its signature was verified")

    for reader in ("read_manifest", "read_golden", "check_graph", "decrypt", "certificate"):
        monkeypatch.setattr(bundles, reader, parsed)
    monkeypatch.setattr(statement, "decode", parsed)
    refused(pack(full_entries(), [OTHER_KEY]), "no trusted key")


def test_no_entry_is_parsed_before_its_digest_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    def parsed(*_: object) -> None:
        pytest.fail("an entry was parsed before its digest was verified")

    for reader in ("read_manifest", "read_golden", "check_graph", "decrypt", "certificate"):
        monkeypatch.setattr(bundles, reader, parsed)
    parts = unzipped(tiny_bundle()) | {"model.onnx": b"{}"}
    refused(zipped(parts.items()), "model.onnx is not what was signed")
