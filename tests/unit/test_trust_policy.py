"""Attack stories of bundles that are signed as they should be and still have no business on this box, or not any more."""

from __future__ import annotations

import dataclasses

import pytest

from agent.errors import BundleError
from agent.infer.bundle import MAX_BYTES, open_bundle, pack
from agent.infer.encryption import describe
from agent.infer.expiry import check_expiry, expiry_ns
from agent.trust import memory as memories
from agent.trust.memory import Memory
from agent.trust.policy import Admitted, Policy, Trust, admit, open_admitted
from agent.trust.root import read_chain
from tests.harness.bundles import (
    KEY,
    OTHER_KEY,
    PUBLIC,
    encrypted_entries,
    entries,
    full_entries,
    manifest,
    tiny_bundle,
)
from tests.harness.roots import ANNE, BEN, exchanged, first

DAY_NS = 86_400 * 10**9
END = "2027-06-30T12:00:00Z"
END_NS = 1_814_356_800 * 10**9
NOTHING = Memory()
TRUST = Trust((PUBLIC,), 1, Policy(), MAX_BYTES)


def admitted(policy: Policy, *, now_ns: int | None = 0, highest: int = 0, **changes: object) -> list[str]:
    return admit(open_bundle(tiny_bundle(**changes), [PUBLIC]), policy, now_ns=now_ns, highest_counter=highest)


def refused(policy: Policy, message: str, **how: object) -> None:
    with pytest.raises(BundleError, match=message):
        admitted(policy, **how)


# Expiry.


def test_a_bundle_runs_until_its_last_day_and_not_a_nanosecond_longer() -> None:
    assert admitted(Policy(), expires=END, now_ns=END_NS - 30 * DAY_NS - 1) == []
    assert admitted(Policy(), expires=END, now_ns=END_NS - 30 * DAY_NS) == [
        f"the bundle expires in 30 days, at {END}; ask its supplier for a new one"
    ]
    assert admitted(Policy(), expires=END, now_ns=END_NS - 1)[0].startswith("the bundle expires in 0 days")
    refused(Policy(), f"the bundle expired at {END}; ask its supplier for a new one", expires=END, now_ns=END_NS)


def test_a_clock_that_nobody_set_expires_nothing_but_says_so() -> None:
    assert admitted(Policy(), expires=END, now_ns=None) == [
        f"the bundle expires at {END}, which is not checked: this box's clock is not synchronised"
    ]


def test_a_bundle_without_an_end_has_none() -> None:
    assert admitted(Policy(), now_ns=2**62) == admitted(Policy(), now_ns=None) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:00Z", 0),
        (END, END_NS),
        ("2027-06-30T14:00:00+02:00", END_NS),
        ("2027-06-30T06:30:00-05:30", END_NS),
        ("1969-12-31T23:59:59Z", -(10**9)),
    ],
)
def test_times_are_rfc_3339(text: str, expected: int) -> None:
    assert expiry_ns(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "2027-06-30", "2027-06-30T12:00:00", "20270630T120000Z", "2027-06-30 12:00:00Z", f"{END} ", "2027-13-01T00:00:00Z",
     "2027-06-30T12:00:00.5Z", "2027-W26-3T12:00:00Z", "２０２７-06-30T12:00:00Z", f"x{END}"],
)  # fmt: skip
def test_what_might_be_read_as_another_time_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"RFC 3339|month must be"):
        expiry_ns(text)


def test_expiry_says_what_expired_and_what_to_do() -> None:
    with pytest.raises(BundleError, match=f"^the thing expired at {END}; do this$"):
        check_expiry("the thing", END, END_NS, "do this")
    assert check_expiry("the thing", None, END_NS, "do this") == []


# The wrong box.


def test_a_bundle_for_another_kind_of_box_is_refused() -> None:
    assert admitted(Policy(device_class="pump-box"), device_classes=["fan-box", "pump-box"]) == []
    refused(
        Policy(device_class="press-box"),
        "the bundle is for 'fan-box', 'pump-box', this box is 'press-box'; take the bundle for this kind of box, or set",
        device_classes=["fan-box", "pump-box"],
    )


def test_a_box_of_no_class_runs_what_is_for_every_class_alone() -> None:
    assert admitted(Policy(), device_classes=[]) == admitted(Policy(device_class="any"), device_classes=[]) == []
    refused(Policy(), "the bundle is for 'fan-box', this box has no class", device_classes=["fan-box"])


def test_only_so_many_classes_are_listed_and_so_much_of_each_as_can_be_shown() -> None:
    classes = [f"{number}{'x' * 64}" for number in range(9)]
    shown = ", ".join(f"'{number}{'x' * 63}'" for number in range(8))
    refused(Policy(), f"the bundle is for {shown}, this box has no class", device_classes=classes)


# Downgrade.


def test_an_older_release_with_a_known_weakness_is_brought_back() -> None:
    refused(
        Policy(),
        "'tiny' 1.0.0 is release 4, and this box has run release 5: an older release is not taken; have it signed",
        counter=4,
        highest=5,
    )


def test_the_same_release_and_a_newer_one_run() -> None:
    assert admitted(Policy(), counter=5, highest=5) == admitted(Policy(), counter=6, highest=5) == []


# The operator's list.


def test_only_what_the_operator_listed_runs() -> None:
    data = tiny_bundle()
    digest = open_bundle(data, [PUBLIC]).digest
    for allow in (("tiny",), ("t*",), ("other", "tin?"), (f"sha256:{digest}",)):
        assert admitted(Policy(allow=allow)) == []
    for allow in (("tin",), ("TINY",), ("*-1",), (f"sha256:{digest[:-1]}*",), (f"sha256:{'0' * 64}",)):
        refused(Policy(allow=allow), rf"'tiny' \(sha256:{digest}\) is not on this box's list")


def test_a_name_made_to_look_like_a_digest_matches_no_digest() -> None:
    digest = open_bundle(tiny_bundle(), [PUBLIC]).digest
    refused(Policy(allow=(f"sha256:{'1' * 64}",)), "is not on this box's list", name=f"sha256:{digest}")


# All together, as the box does it.


def opened(data: bytes, trust: Trust = TRUST, remembered: Memory = NOTHING, now_ns: int | None = 0) -> Admitted:
    return open_admitted(data, trust, remembered, now_ns)


def test_a_bundle_is_opened_and_admitted_with_its_warnings() -> None:
    found = opened(tiny_bundle(expires=END), now_ns=None)
    assert found.bundle.manifest.expires == END
    assert found.warnings == (
        f"the bundle expires at {END}, which is not checked: this box's clock is not synchronised",
    )


def test_an_expired_bundle_is_not_opened() -> None:
    assert opened(tiny_bundle(expires=END), now_ns=END_NS - 1).warnings[0].startswith("the bundle expires in 0 days")
    with pytest.raises(BundleError, match=f"the bundle expired at {END}"):
        opened(tiny_bundle(expires=END), now_ns=END_NS)


def test_what_the_box_remembers_decides_on_a_downgrade_of_that_name_alone() -> None:
    remembered = Memory().ran(manifest(counter=3))
    with pytest.raises(BundleError, match="release 2, and this box has run release 3"):
        opened(tiny_bundle(counter=2), remembered=remembered)
    assert opened(tiny_bundle(counter=2, name="other"), remembered=remembered).warnings == ()


def test_threshold_size_and_key_of_this_box_hold() -> None:
    two = dataclasses.replace(TRUST, keys=(PUBLIC, OTHER_KEY.public_key()), threshold=2)
    with pytest.raises(BundleError, match="1 of the 2 trusted keys"):
        opened(tiny_bundle(), two)
    assert len(opened(pack(entries(), [KEY, OTHER_KEY]), two).bundle.signers) == 2
    with pytest.raises(BundleError, match="more than the 10 bytes"):
        opened(tiny_bundle(), dataclasses.replace(TRUST, max_bytes=10))
    secret = bytes(32)
    encrypted = pack(encrypted_entries(secret), [KEY])
    with pytest.raises(BundleError, match=f"encrypted with key {describe(secret).key_id}"):
        opened(encrypted)
    plain = opened(encrypted, dataclasses.replace(TRUST, decryption_key=secret)).bundle.model
    assert plain == full_entries()["model.onnx"]


def test_an_expired_root_admits_nothing_and_one_that_will_expire_says_so() -> None:
    trust = TRUST.rotated(read_chain(first(KEY, expires=END)))
    assert opened(tiny_bundle(), trust, now_ns=END_NS - 31 * DAY_NS).warnings == ()
    assert opened(tiny_bundle(), trust, now_ns=END_NS - DAY_NS).warnings == (
        f"root version 1 expires in 1 days, at {END}; ask the owner of the keys for the newest root file",
    )
    with pytest.raises(BundleError, match=f"root version 1 expired at {END}"):
        opened(tiny_bundle(), trust, now_ns=END_NS)
    assert "root version 1 expires" in opened(tiny_bundle(), trust, now_ns=None).warnings[0]


def test_a_rotated_root_ends_the_trust_in_the_old_keys() -> None:
    chain = read_chain(exchanged(first(KEY), KEY, BEN))
    with pytest.raises(BundleError, match="no trusted key signed this bundle"):
        opened(tiny_bundle(), TRUST.rotated(chain))
    assert opened(pack(entries(), [BEN]), TRUST.rotated(chain)).bundle.key_id
    two = TRUST.rotated(read_chain(first(ANNE, BEN, threshold=2)))
    with pytest.raises(BundleError, match="1 of the 2 trusted keys"):
        opened(pack(entries(), [BEN]), two)


def test_secrets_are_in_no_log() -> None:
    assert "5a5a" not in repr(dataclasses.replace(TRUST, decryption_key=b"Z" * 32)).replace("Z", "5a")


# What the box remembers.


def test_the_highest_release_is_remembered_by_name_and_never_falls_by_itself() -> None:
    remembered = Memory().ran(manifest(counter=3)).ran(manifest(counter=2)).ran(manifest(name="other", counter=9))
    assert (remembered.highest("tiny"), remembered.highest("other"), remembered.highest("new")) == (3, 9, 0)
    assert remembered.returned(manifest(counter=2)).highest("tiny") == 2


def test_memory_comes_back_from_its_file() -> None:
    chain = read_chain(exchanged(first(ANNE), ANNE, BEN))
    kept = memories.decode(memories.encode(Memory().ran(manifest(counter=3)).rotated(chain)))
    assert kept.counters == {"tiny": 3}
    assert (kept_chain := kept.chain()) is not None
    assert kept_chain.data == chain.data
    assert memories.decode(memories.encode(Memory())).chain() is None


def test_memory_is_bounded() -> None:
    full = Memory(counters={f"name-{number}": 1 for number in range(4_096)})
    assert memories.decode(memories.encode(full.ran(manifest(name="name-1", counter=2)))).highest("name-1") == 2
    with pytest.raises(BundleError, match="4096 names and remembers no more"):
        full.ran(manifest())
    with pytest.raises(BundleError, match="4097 names, more than 4096"):
        memories.decode(memories.encode(Memory(counters={f"name-{number}": 1 for number in range(4_097)})))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "cannot be used: "),
        (b'{"trust":"\xff"}', "cannot be used: "),
        (memories.encode(Memory(counters={"tiny": 3})).replace(b"3", b"2", 1), "its bytes do not give its hash"),
        (memories.encode(Memory(schema="stethos/trust/2")), "it is stethos/trust/2, this agent reads stethos/trust/1"),
        (memories.encode(Memory(counters={"tiny": 0})), "a counter in it is not positive"),
        (memories.encode(Memory(root="x")), "root version 1 is no DSSE envelope"),
        (memories.encode(Memory(root="\u20ac")), "root version 1 is no DSSE envelope"),
    ],
)
def test_a_memory_that_is_not_as_it_was_written_is_not_believed(data: bytes, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        memories.decode(data)
