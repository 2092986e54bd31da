"""DSSE envelopes: the published encoding, and every way in which an envelope must not be believed."""

from __future__ import annotations

import base64
import hashlib

import msgspec
import pytest

from agent.errors import BundleError
from agent.infer import dsse
from agent.infer.keys import key_id
from tests.harness.bundles import KEY, OTHER_KEY, PUBLIC

ENTRIES = {"a": b"one", "b": b""}


def envelope(**changes: object) -> bytes:
    return msgspec.json.encode(msgspec.json.decode(dsse.sign(ENTRIES, KEY)) | changes)


def signed(payload: bytes, payload_type: str = dsse.PAYLOAD_TYPE) -> bytes:
    signature = base64.b64encode(KEY.sign(dsse.pae(payload_type, payload))).decode()
    return msgspec.json.encode(
        {"payload": base64.b64encode(payload).decode(), "payloadType": payload_type, "signatures": [{"sig": signature}]}
    )


def test_pre_authentication_encoding_is_that_of_the_protocol_document() -> None:
    encoded = dsse.pae("http://example.com/HelloWorld", b"hello world")
    assert encoded == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def test_pre_authentication_encoding_counts_bytes_not_characters() -> None:
    assert dsse.pae("é", b"") == b"DSSEv1 2 \xc3\xa9 0 "


def test_what_was_signed_comes_back() -> None:
    verified = dsse.verify(dsse.sign(ENTRIES, KEY), [OTHER_KEY.public_key(), PUBLIC])
    assert verified.sha256 == {name: hashlib.sha256(data).hexdigest() for name, data in ENTRIES.items()}
    assert verified.key_id == key_id(PUBLIC)


def test_the_statement_is_in_toto_v1() -> None:
    payload = msgspec.json.decode(base64.b64decode(msgspec.json.decode(dsse.sign(ENTRIES, KEY))["payload"]))
    assert payload["_type"] == "https://in-toto.io/Statement/v1"
    assert payload["subject"][0] == {"name": "a", "digest": {"sha256": hashlib.sha256(b"one").hexdigest()}}


def test_url_safe_base64_is_read_too() -> None:
    decoded = msgspec.json.decode(dsse.sign(ENTRIES, KEY))
    payload = base64.urlsafe_b64encode(base64.b64decode(decoded["payload"])).decode()
    signature = base64.urlsafe_b64encode(base64.b64decode(decoded["signatures"][0]["sig"])).decode()
    dsse.verify(envelope(payload=payload, signatures=[{"sig": signature}]), [PUBLIC])


def test_the_claimed_key_id_decides_nothing() -> None:
    forged = base64.b64encode(OTHER_KEY.sign(b"something")).decode()
    claim = [{"sig": forged, "keyid": key_id(PUBLIC)}]
    with pytest.raises(BundleError, match=f"claims {key_id(PUBLIC)}"):
        dsse.verify(envelope(signatures=claim), [PUBLIC])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no DSSE envelope"),
        (b"\xff", "no DSSE envelope"),
        (b"[]", "no DSSE envelope"),
        (envelope(signatures=[]), "no trusted key signed this bundle: it claims nobody"),
        (envelope(payload="?"), "payload is no base64"),
        (envelope(signatures=[{"sig": "?"}]), "signature is no base64"),
        (envelope(signatures=[{"sig": "AAAA"}]), "no trusted key"),
        (envelope(signatures=[{"sig": "AAAA"}] * 17), "17 signatures"),
        (envelope(payloadType="text/plain"), "no trusted key"),
        (envelope(payload=base64.b64encode(b"{}").decode()), "no trusted key"),
        (signed(b"hello"), "no in-toto statement"),
        (signed(b'{"_type":"x","subject":[],"predicateType":"y"}'), "not a Stethos bundle"),
        (signed(base64.b64decode(msgspec.json.decode(envelope())["payload"]), "text/plain"), "not a Stethos bundle"),
    ],
)
def test_a_doubtful_envelope_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        dsse.verify(data, [PUBLIC])


def test_an_entry_named_twice_is_refused() -> None:
    subject = {"name": "a", "digest": {"sha256": "0"}}
    statement = {"_type": dsse.STATEMENT_TYPE, "predicateType": dsse.PREDICATE_TYPE, "subject": [subject, subject]}
    with pytest.raises(BundleError, match="names an entry twice"):
        dsse.verify(signed(msgspec.json.encode(statement)), [PUBLIC])


def test_without_a_trusted_key_nothing_is_believed() -> None:
    with pytest.raises(BundleError, match="trusted are none"):
        dsse.verify(envelope(), [])
