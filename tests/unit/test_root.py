"""Attack stories of the root file: who may say which keys count from now on, and who may not."""

from __future__ import annotations

import base64

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.errors import BundleError
from agent.infer.keys import key_id, raw_key
from agent.trust import root
from agent.trust.root import advance, change, new, read_chain, read_links, sign
from tests.harness.roots import ANNE, BEN, CARLA, DORA, EVE, envelope, exchanged, first, ids, publics

SOUND = {
    "schema": "stethos/root/1",
    "version": 1,
    "threshold": 1,
    "keys": [base64.b64encode(raw_key(ANNE.public_key())).decode()],
    "expires": None,
}


def refused(data: bytes, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        read_chain(data)


def test_a_new_root_says_who_signs_and_how_many_must() -> None:
    found = read_chain(first(ANNE, BEN, CARLA, threshold=2, expires="2030-01-01T00:00:00Z")).newest
    assert (found.version, found.threshold, found.expires) == (1, 2, "2030-01-01T00:00:00Z")
    assert [key_id(key) for key in found.keys] == ids(ANNE, BEN, CARLA)


def test_what_is_signed_is_the_payload_that_the_documentation_shows() -> None:
    link = read_links(first(ANNE))[0]
    assert msgspec.json.decode(link.signed.payload) == SOUND
    assert (link.signed.payload_type, link.signed.claimed) == (root.PAYLOAD_TYPE, tuple(ids(ANNE)))


def test_keys_are_exchanged_one_after_another_and_a_box_that_was_away_follows() -> None:
    at_first = read_chain(first(ANNE))
    later = read_chain(exchanged(exchanged(at_first.data, ANNE, BEN), BEN, CARLA))
    assert [each.version for each in later.roots] == [1, 2, 3]
    assert advance(at_first, later) is later
    assert [key_id(key) for key in later.newest.keys] == ids(CARLA)


def test_a_box_that_holds_nothing_takes_the_file_that_its_operator_gives_it() -> None:
    offered = read_chain(first(ANNE))
    assert advance(None, offered) is offered


def test_the_same_root_again_changes_nothing() -> None:
    held = read_chain(exchanged(first(ANNE), ANNE, BEN))
    assert [each.digest for each in advance(held, read_chain(held.data)).roots] == [each.digest for each in held.roots]


def test_people_sign_one_after_another_on_several_machines() -> None:
    data = new(publics(ANNE, BEN), 2, None)
    assert root.missing(read_links(data)) == [
        "root version 1 is signed by 0 of the 2 keys of root version 1 that must have"
    ]
    data = sign(data, [ANNE])
    assert root.missing(read_links(data)) == [
        "root version 1 is signed by 1 of the 2 keys of root version 1 that must have"
    ]
    data = sign(data, [BEN])
    assert root.missing(read_links(data)) == []
    data = change(data, add=publics(CARLA), remove=ids(ANNE), expires=None)
    assert root.missing(read_links(sign(data, [CARLA, BEN]))) == [
        "root version 2 is signed by 1 of the 2 keys of root version 1 that must have"
    ]
    assert root.missing(read_links(sign(data, [ANNE, BEN]))) == [
        "root version 2 is signed by 1 of the 2 keys of root version 2 that must have"
    ]
    assert root.missing(read_links(sign(sign(data, [ANNE]), [BEN, CARLA]))) == []


def test_a_change_keeps_the_threshold_unless_another_is_given() -> None:
    data = first(ANNE, BEN, CARLA, threshold=2)
    assert read_links(change(data, remove=ids(CARLA), expires=None))[-1].root.threshold == 2
    changed = read_links(change(data, threshold=3, expires="2031-01-01T00:00:00Z"))[-1].root
    assert (changed.threshold, changed.expires, changed.version) == (3, "2031-01-01T00:00:00Z", 2)
    assert [key_id(key) for key in changed.keys] == ids(ANNE, BEN, CARLA)


# Somebody who should have no say.


def test_a_thief_makes_a_root_that_only_his_own_new_keys_sign() -> None:
    stolen = exchanged(first(ANNE), ANNE, EVE, by=[EVE])
    refused(stolen, "no trusted key signed root version 2 in the name of root version 1")


def test_a_root_that_only_the_old_keys_sign_might_name_keys_that_nobody_has() -> None:
    refused(exchanged(first(ANNE), ANNE, BEN, by=[ANNE]), "no trusted key signed root version 2: ")


def test_one_of_two_owners_tries_to_take_over_alone() -> None:
    data = change(first(ANNE, BEN, threshold=2), remove=ids(ANNE), threshold=1, expires=None)
    refused(
        sign(data, [BEN]), "1 of the 2 trusted keys that must have signed root version 2 in the name of root version 1"
    )


def test_one_of_two_new_owners_has_not_signed_yet() -> None:
    data = change(first(ANNE), add=publics(BEN), threshold=2, expires=None)
    refused(sign(data, [ANNE]), "1 of the 2 trusted keys that must have signed root version 2: ")


def test_an_owner_signs_twice_for_two() -> None:
    line = msgspec.json.decode(sign(new(publics(ANNE, BEN), 2, None), [ANNE]))
    line["signatures"].append(line["signatures"][0] | {"keyid": ids(BEN)[0]})
    refused(msgspec.json.encode(line), "1 of the 2 trusted keys that must have signed root version 1")


def test_a_key_that_has_no_say_is_not_let_sign() -> None:
    data = first(ANNE)
    with pytest.raises(BundleError, match=f"root version 1 and the one before hold no key {ids(EVE)[0]}"):
        sign(data, [ANNE, EVE])
    grown = change(exchanged(data, ANNE, BEN), add=publics(CARLA), remove=ids(BEN), expires=None)
    with pytest.raises(BundleError, match=f"root version 3 and the one before hold no key {ids(ANNE)[0]}"):
        sign(grown, [ANNE])
    assert len(read_links(sign(grown, [BEN, CARLA]))) == 3


def test_the_first_root_is_signed_by_nobody() -> None:
    refused(new(publics(ANNE), 1, None), "no trusted key signed root version 1: it claims nobody")


def test_a_bundles_statement_that_the_same_key_signed_is_given_for_a_root() -> None:
    refused(envelope(msgspec.json.encode(SOUND), [ANNE], "application/vnd.in-toto+json"), "give a root file")


# Somebody brings an old root back, or another one.


def test_an_older_root_is_replayed_so_that_a_stolen_key_counts_again() -> None:
    old = first(ANNE)
    held = read_chain(exchanged(old, ANNE, BEN))
    with pytest.raises(BundleError, match="ends at version 1, this box holds version 2; an older root is never taken"):
        advance(held, read_chain(old))


def test_a_stolen_old_key_signs_another_second_version() -> None:
    old = first(ANNE)
    held, forged = read_chain(exchanged(old, ANNE, BEN)), read_chain(exchanged(old, ANNE, EVE))
    with pytest.raises(BundleError, match="does not follow from version 2, which this box holds"):
        advance(held, forged)
    with pytest.raises(BundleError, match="does not follow from version 2, which this box holds"):
        advance(held, read_chain(exchanged(forged.data, EVE, DORA)))


def test_another_owners_root_is_offered() -> None:
    with pytest.raises(BundleError, match="does not follow from version 1"):
        advance(read_chain(first(ANNE)), read_chain(first(EVE)))


def test_a_chain_begins_another_only_where_all_of_it_does() -> None:
    short, long = read_chain(first(ANNE)), read_chain(exchanged(first(ANNE), ANNE, BEN))
    assert short.begins(long)
    assert short.begins(short)
    assert not long.begins(short)
    assert not short.begins(read_chain(first(EVE)))


def test_a_signature_more_makes_no_other_root() -> None:
    one = sign(new(publics(ANNE, BEN), 1, None), [ANNE])
    both = sign(one, [BEN])
    assert read_chain(one).begins(read_chain(both))
    assert advance(read_chain(one), read_chain(both)).data == both


def test_versions_change_places_or_are_left_out() -> None:
    lines = exchanged(first(ANNE), ANNE, BEN).splitlines(keepends=True)
    refused(b"".join(reversed(lines)), "line 1 of the root file is version 2")
    refused(lines[1], "line 1 of the root file is version 2")
    refused(lines[0] + lines[0], "line 2 of the root file is version 1")


# The file is no root file.


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": "stethos/root/2"}, "is stethos/root/2, this agent reads stethos/root/1"),
        ({"version": 2}, "line 1 of the root file is version 2"),
        ({"threshold": 0}, "asks for 0 of 1 keys"),
        ({"threshold": 2}, "asks for 2 of 1 keys"),
        ({"keys": [], "threshold": 0}, "asks for 0 of 0 keys"),
        ({"keys": SOUND["keys"] * 2}, "root version 1 names a key twice"),
        ({"keys": ["AAAA"]}, "root version 1: "),
        ({"keys": ["?"]}, "root version 1: "),
        ({"keys": [SOUND["keys"][0] + "\n"]}, "root version 1: "),
        ({"keys": ["!" + SOUND["keys"][0]]}, "root version 1: "),
        ({"expires": "soon"}, "root version 1: 'soon' is no time in RFC 3339"),
        ({"surprise": 1}, "root version 1: .*surprise"),
        ({"version": "1"}, "root version 1: "),
    ],
)
def test_a_root_that_cannot_be_meant_is_refused(change: dict[str, object], message: str) -> None:
    refused(envelope(msgspec.json.encode(SOUND | change), [ANNE]), message)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "holds 0 versions, where 1 to 256 may be"),
        (b"\n" * 257, "holds 257 versions, where 1 to 256 may be"),
        (b"\n", "root version 1 is no DSSE envelope"),
        (b"\xff", "the root file is no text"),
        (b"{}", "root version 1 is no DSSE envelope"),
        (envelope(b"hello", [ANNE]), "root version 1: "),
        (envelope(b"\xff", [ANNE]), "root version 1: "),
        (bytes(root.MAX_BYTES + 1), f"more than {root.MAX_BYTES} bytes"),
        (b" " * root.MAX_BYTES, "root version 1 is no DSSE envelope"),
    ],
)
def test_what_is_no_root_file_is_refused(data: bytes, message: str) -> None:
    refused(data, message)


def test_a_root_file_holds_256_versions_and_no_more() -> None:
    lines = [envelope(msgspec.json.encode(SOUND | {"version": number}), [ANNE]) for number in range(1, 258)]
    assert read_chain(b"".join(lines[:256])).newest.version == 256
    refused(b"".join(lines), "holds 257 versions")


def test_a_key_that_is_not_there_cannot_be_removed() -> None:
    with pytest.raises(BundleError, match=f"root version 1 holds no key {ids(EVE)[0]}"):
        change(first(ANNE), remove=ids(EVE), expires=None)


def test_a_root_that_could_never_be_used_is_not_begun() -> None:
    with pytest.raises(BundleError, match="asks for 2 of 1 keys"):
        new(publics(ANNE), 2, None)
    with pytest.raises(BundleError, match="names a key twice"):
        new(publics(ANNE, ANNE), 1, None)
    with pytest.raises(BundleError, match="asks for 1 of 17 keys"):
        new(publics(*(key_number(number) for number in range(17))), 1, None)
    with pytest.raises(BundleError, match="asks for 1 of 0 keys"):
        change(first(ANNE), remove=ids(ANNE), expires=None)
    assert len(read_links(new(publics(*(key_number(number) for number in range(16))), 16, None))[0].root.keys) == 16


def test_an_unfinished_root_is_not_gone_on_with() -> None:
    with pytest.raises(BundleError, match="no trusted key signed root version 1"):
        change(new(publics(ANNE), 1, None), add=publics(BEN), expires=None)


def key_number(number: int) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes([number + 100] * 32))
