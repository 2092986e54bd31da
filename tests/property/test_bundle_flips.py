"""Whatever a bundle or a root file suffers on its way, it opens as what was signed or not at all."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import BundleError
from agent.infer.bundle import open_bundle, pack
from agent.infer.encryption import decrypt, describe, encrypt
from agent.infer.graph import check_graph
from agent.trust import memory
from agent.trust.memory import Memory
from agent.trust.root import read_chain
from tests.harness.bundles import (
    KEY,
    OTHER_KEY,
    PUBLIC,
    encrypted_entries,
    energy_model,
    entries,
    full_entries,
    manifest,
    tiny_bundle,
)
from tests.harness.roots import ANNE, BEN, CARLA, exchanged, first
from tests.harness.zips import unzipped, zipped

DATA = tiny_bundle()
FULL = pack(full_entries(), [KEY, OTHER_KEY])
SECRET = bytes(range(32))
ENCRYPTED = pack(encrypted_entries(SECRET), [KEY])
ROOT = exchanged(first(ANNE, BEN, threshold=2), BEN, CARLA, by=[ANNE, BEN, CARLA])
ROOT_DIGESTS = [root.digest for root in read_chain(ROOT).roots]
flips = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=3)


def flipped(data: bytes, places: list[tuple[float, int]]) -> bytes:
    spoilt = bytearray(data)
    for share, mask in places:
        spoilt[int(share * len(data))] ^= mask
    return bytes(spoilt)


def opens_as_signed_or_not_at_all(data: bytes) -> None:
    with contextlib.suppress(BundleError):
        opened = open_bundle(data, [PUBLIC])
        assert (opened.manifest, opened.model) == (manifest(), energy_model())


def is_followed_as_signed_or_not_at_all(data: bytes) -> None:
    with contextlib.suppress(BundleError):
        assert [root.digest for root in read_chain(data).roots] in (ROOT_DIGESTS, ROOT_DIGESTS[:1])


def test_one_bit_of_every_byte_of_a_bundle() -> None:
    for place in range(len(DATA)):
        opens_as_signed_or_not_at_all(DATA[:place] + bytes([DATA[place] ^ (1 << place % 8)]) + DATA[place + 1 :])


def test_one_bit_of_every_byte_of_a_root_file() -> None:
    for place in range(len(ROOT)):
        is_followed_as_signed_or_not_at_all(ROOT[:place] + bytes([ROOT[place] ^ (1 << place % 8)]) + ROOT[place + 1 :])


@settings(max_examples=400, derandomize=True, deadline=None)
@given(flips)
def test_flipped_bits(places: list[tuple[float, int]]) -> None:
    opens_as_signed_or_not_at_all(flipped(DATA, places))


@settings(max_examples=300, derandomize=True, deadline=None)
@given(st.integers(0, 500), st.integers(1, 255))
def test_flipped_bits_of_the_zip_directory(from_end: int, mask: int) -> None:
    data = bytearray(DATA)
    data[-1 - from_end] ^= mask
    opens_as_signed_or_not_at_all(bytes(data))


@pytest.mark.parametrize("name", [*full_entries(), "signature.json"])
@settings(max_examples=60, derandomize=True, deadline=None)
@given(places=flips)
def test_flipped_bits_of_every_entry_in_a_zip_that_is_intact(name: str, places: list[tuple[float, int]]) -> None:
    parts = unzipped(FULL)
    spoilt = flipped(parts[name], places)
    with contextlib.suppress(BundleError):
        opened = open_bundle(zipped((parts | {name: spoilt}).items()), [PUBLIC, OTHER_KEY.public_key()], threshold=2)
        assert spoilt == parts[name] or (name == "signature.json" and len(opened.signers) == 2)


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.sampled_from([name for name in full_entries() if name.startswith(("model", "engine"))]), flips)
def test_flipped_bits_of_ciphertext_that_the_right_key_signs_again(name: str, places: list[tuple[float, int]]) -> None:
    parts = unzipped(ENCRYPTED)
    del parts["signature.json"]
    spoilt = flipped(parts[name], places)
    with contextlib.suppress(BundleError):
        open_bundle(pack(parts | {name: spoilt}, [KEY]), [PUBLIC], decryption_key=SECRET)
        assert spoilt == parts[name]


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.dictionaries(st.sampled_from(["model.onnx", "engine.sm89.rtx", "manifest.json"]), st.binary(max_size=100)))
def test_whatever_is_encrypted_is_not_there_in_clear(changes: dict[str, bytes]) -> None:
    told = manifest(encryption=describe(SECRET))
    plain = entries() | changes
    sealed = encrypt(plain, SECRET, told)
    assert decrypt(sealed, SECRET, told) == plain
    assert sealed["model.onnx"] != plain["model.onnx"]
    assert sealed["manifest.json"] == plain["manifest.json"]


@settings(max_examples=300, derandomize=True, deadline=None)
@given(flips)
def test_flipped_bits_of_a_root_file(places: list[tuple[float, int]]) -> None:
    is_followed_as_signed_or_not_at_all(flipped(ROOT, places))


@settings(max_examples=300, derandomize=True, deadline=None)
@given(flips)
def test_flipped_bits_of_what_the_box_remembers(places: list[tuple[float, int]]) -> None:
    remembered = Memory(counters={"tiny": 4}).rotated(read_chain(ROOT))
    with contextlib.suppress(BundleError):
        assert memory.decode(flipped(memory.encode(remembered), places)) == remembered


@settings(max_examples=300, derandomize=True, deadline=None)
@given(flips)
def test_flipped_bits_of_a_graph_raise_nothing_else(places: list[tuple[float, int]]) -> None:
    with contextlib.suppress(BundleError):
        check_graph(flipped(energy_model(), places), "model.onnx")


@settings(max_examples=100, derandomize=True, deadline=None)
@given(st.binary(max_size=300))
def test_arbitrary_bytes(data: bytes) -> None:
    opens_as_signed_or_not_at_all(data)
    for read in (read_chain, memory.decode, lambda it: check_graph(it, "model.onnx")):
        with contextlib.suppress(BundleError):
            read(data)
