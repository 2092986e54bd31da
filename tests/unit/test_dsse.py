"""DSSE envelopes: the published encoding, and every way in which an envelope must not be believed."""

from __future__ import annotations

import base64
import hashlib

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.errors import BundleError
from agent.infer import dsse, statement
from agent.infer.keys import key_id
from tests.harness.bundles import KEY, OTHER_KEY, PUBLIC

TYPE, PAYLOAD = "text/plain", b"\x00\xff payload"
OTHER_PUBLIC = OTHER_KEY.public_key()
KEYS = [Ed25519PrivateKey.from_private_bytes(bytes([number] * 32)) for number in range(17)]


def envelope(**changes: object) -> bytes:
    return msgspec.json.encode(msgspec.json.decode(dsse.sign(TYPE, PAYLOAD, [KEY])) | changes)


def verified(data: bytes, trusted=(PUBLIC,), threshold: int = 1) -> tuple[str, ...]:
    return dsse.verify(dsse.read(data, "it"), list(trusted), threshold, "it")


def test_pre_authentication_encoding_is_that_of_the_protocol_document() -> None:
    encoded = dsse.pae("http://example.com/HelloWorld", b"hello world")
    assert encoded == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def test_pre_authentication_encoding_counts_bytes_not_characters() -> None:
    assert dsse.pae("é", b"") == b"DSSEv1 2 \xc3\xa9 0 "


def test_what_was_signed_comes_back_with_those_who_signed() -> None:
    data = dsse.sign(TYPE, PAYLOAD, [KEY, OTHER_KEY])
    found = dsse.read(data, "it")
    assert (found.payload_type, found.payload) == (TYPE, PAYLOAD)
    assert found.claimed == (key_id(PUBLIC), key_id(OTHER_PUBLIC))
    assert verified(data, [OTHER_PUBLIC, PUBLIC], 2) == (key_id(PUBLIC), key_id(OTHER_PUBLIC))
    assert verified(data, [OTHER_PUBLIC]) == (key_id(OTHER_PUBLIC),)


def test_the_envelope_is_that_of_the_protocol_document() -> None:
    found = msgspec.json.decode(dsse.sign(TYPE, PAYLOAD, [KEY]))
    signature = base64.b64encode(KEY.sign(dsse.pae(TYPE, PAYLOAD))).decode()
    assert found == {
        "payload": base64.b64encode(PAYLOAD).decode(),
        "payloadType": TYPE,
        "signatures": [{"sig": signature, "keyid": key_id(PUBLIC)}],
    }


def test_signatures_are_added_once_each() -> None:
    one = dsse.sign(TYPE, PAYLOAD, [KEY])
    two = dsse.add(one, [OTHER_KEY, KEY, OTHER_KEY], "it")
    assert two == dsse.sign(TYPE, PAYLOAD, [KEY, OTHER_KEY])
    assert dsse.add(two, [], "it") == two


def test_as_many_signatures_are_made_as_are_read() -> None:
    full = dsse.sign(TYPE, PAYLOAD, KEYS[:16])
    assert len(verified(full, [key.public_key() for key in KEYS], 16)) == 16
    with pytest.raises(BundleError, match="17 signatures are more than the 16"):
        dsse.add(full, [KEYS[16]], "it")


def test_nobody_signs_what_is_no_envelope() -> None:
    with pytest.raises(BundleError, match=r"^it is no DSSE envelope"):
        dsse.add(b"trust me", [KEY], "it")


def test_url_safe_base64_is_read_too() -> None:
    decoded = msgspec.json.decode(envelope())
    payload = base64.urlsafe_b64encode(base64.b64decode(decoded["payload"])).decode()
    signature = base64.urlsafe_b64encode(base64.b64decode(decoded["signatures"][0]["sig"])).decode()
    assert {"-", "_"} & {*payload, *signature}
    assert verified(envelope(payload=payload, signatures=[{"sig": signature}])) == (key_id(PUBLIC),)


def test_what_an_envelope_says_beyond_the_protocol_is_passed_over() -> None:
    assert verified(envelope(note="hello")) == (key_id(PUBLIC),)


def test_the_claimed_key_id_decides_nothing() -> None:
    forged = base64.b64encode(OTHER_KEY.sign(b"something")).decode()
    with pytest.raises(BundleError, match=f"no trusted key signed it: it claims {key_id(PUBLIC)}"):
        verified(envelope(signatures=[{"sig": forged, "keyid": key_id(PUBLIC)}]))


def test_a_claim_is_cut_to_what_can_be_shown() -> None:
    with pytest.raises(BundleError, match=rf"it claims {'x' * 64}, unnamed, trusted are {key_id(PUBLIC)};"):
        verified(envelope(signatures=[{"sig": "AAAA", "keyid": "x" * 70}, {"sig": "AAAA"}]))


@pytest.mark.parametrize("threshold", [0, 1, -5])
def test_without_a_signature_nothing_is_believed_whatever_the_threshold(threshold: int) -> None:
    with pytest.raises(BundleError, match="no trusted key signed it: it claims nobody"):
        verified(envelope(signatures=[]), threshold=threshold)


def test_whoever_is_refused_is_told_who_would_be_trusted_and_what_to_do() -> None:
    known = ", ".join(key_id(key.public_key()) for key in KEYS[:2])
    with pytest.raises(BundleError, match=f"trusted are {known}; trust the signer's public key under "):
        verified(envelope(signatures=[]), [key.public_key() for key in KEYS[:2]])


def test_without_a_trusted_key_nothing_is_believed() -> None:
    with pytest.raises(BundleError, match="trusted are none"):
        verified(envelope(), [])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "it is no DSSE envelope"),
        (b"\xff", "it is no DSSE envelope"),
        (b'{"payload":"\xff"}', "it is no DSSE envelope"),
        (b"[]", "it is no DSSE envelope"),
        (envelope(payload="?"), "it: the payload is no base64"),
        (envelope(payload="é"), "it: the payload is no base64"),
        (envelope(payload="AAA"), "it: the payload is no base64"),
        (envelope(signatures=[{"sig": "?"}]), "it: the signature is no base64"),
        (envelope(signatures=[{"sig": "AAAA"}]), "no trusted key"),
        (envelope(signatures=[{"sig": "AAAA"}] * 17), "it has 17 signatures, more than 16"),
        (envelope(payloadType="text/html"), "no trusted key"),
        (envelope(payload=base64.b64encode(b"{}").decode()), "no trusted key"),
    ],
)
def test_a_doubtful_envelope_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        verified(data)


ENTRIES = {"b": b"", "a": b"one"}


def stated(payload: bytes, payload_type: str = statement.PAYLOAD_TYPE) -> dict[str, str]:
    return statement.decode(dsse.Unverified(payload_type, payload, ()))


def test_the_statement_is_in_toto_v1_over_every_entry() -> None:
    payload = statement.encode(ENTRIES)
    assert msgspec.json.decode(payload) == {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [
            {"name": "a", "digest": {"sha256": hashlib.sha256(b"one").hexdigest()}},
            {"name": "b", "digest": {"sha256": hashlib.sha256(b"").hexdigest()}},
        ],
        "predicateType": "urn:stethos:bundle:1",
        "predicate": {},
    }
    assert stated(payload) == {name: hashlib.sha256(data).hexdigest() for name, data in ENTRIES.items()}


def test_a_subject_without_the_digest_that_counts_has_none() -> None:
    payload = msgspec.json.decode(statement.encode({"a": b""}))
    payload["subject"][0]["digest"] = {"md5": "d41d8cd98f00b204e9800998ecf8427e"}
    assert stated(msgspec.json.encode(payload)) == {"a": ""}


def altered(**changes: object) -> bytes:
    return msgspec.json.encode(msgspec.json.decode(statement.encode(ENTRIES)) | changes)


@pytest.mark.parametrize(
    ("payload", "payload_type", "message"),
    [
        (b"hello", statement.PAYLOAD_TYPE, "^signature.json signs something that is no in-toto"),
        (b"\xff", statement.PAYLOAD_TYPE, "^signature.json signs something that is no in-toto"),
        (
            altered(),
            "text/plain",
            f"signs text/plain / {statement.STATEMENT_TYPE} / {statement.PREDICATE_TYPE}, not a Stethos bundle",
        ),
        (altered(_type="x"), statement.PAYLOAD_TYPE, "not a Stethos bundle"),
        (altered(predicateType="x"), statement.PAYLOAD_TYPE, "not a Stethos bundle"),
        (
            altered(subject=[{"name": "a", "digest": {"sha256": "0"}}] * 2),
            statement.PAYLOAD_TYPE,
            "^signature.json names an entry twice; export",
        ),
    ],
)
def test_what_states_something_else_is_refused(payload: bytes, payload_type: str, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        stated(payload, payload_type)
