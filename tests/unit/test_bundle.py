"""What a bundle may be made of, and what of it contradicts itself; those who mean harm have files of their own."""

from __future__ import annotations

import hashlib

import msgspec
import numpy as np
import pytest

from agent.decide.baseline import Baseline
from agent.decide.calibration import Lasting
from agent.errors import BundleError
from agent.infer.bundle import countersign, open_bundle, pack, unverified
from agent.infer.golden import GoldenVectors, golden_bytes
from agent.infer.keys import key_id
from agent.infer.manifest import Promise
from tests.harness.attacks import refused
from tests.harness.bundles import (
    KEY,
    OTHER_KEY,
    PARITY,
    PUBLIC,
    VARIANT,
    energy_model,
    entries,
    full_entries,
    golden,
    manifest,
    tiny_bundle,
)
from tests.harness.zips import unzipped, zipped


def test_a_signed_bundle_opens() -> None:
    data = tiny_bundle()
    opened = open_bundle(data, [PUBLIC])
    assert opened.manifest == manifest()
    assert opened.model == energy_model()
    np.testing.assert_array_equal(opened.golden.windows, golden().windows)
    np.testing.assert_array_equal(opened.golden.score, golden().score)
    np.testing.assert_array_equal(opened.golden.channel_score, golden().channel_score)
    assert opened.digest == hashlib.sha256(data).hexdigest()
    assert (opened.key_id, opened.signers) == (key_id(PUBLIC), (key_id(PUBLIC),))
    assert (opened.variants, opened.engines, opened.parity) == ({}, {}, None)


def test_a_bundle_with_everything_that_it_may_hold_opens() -> None:
    parts = full_entries()
    opened = open_bundle(pack(parts, [KEY, OTHER_KEY]), [OTHER_KEY.public_key(), PUBLIC], threshold=2)
    assert opened.variants == {"fp16": parts["model.fp16.onnx"], "int8": parts["model.int8.onnx"]}
    assert opened.engines == {"sm86": b"engine for 8.6", "sm120": b"engine for 12.0"}
    assert opened.parity == PARITY
    assert opened.digests == {name: hashlib.sha256(data).hexdigest() for name, data in parts.items()}
    assert opened.signers == (key_id(PUBLIC), key_id(OTHER_KEY.public_key()))


def test_packing_twice_gives_the_same_bytes_whatever_the_order() -> None:
    backwards = dict(reversed(entries().items()))
    assert pack(entries(), [KEY]) == pack(backwards, [KEY])


def test_packing_gives_the_bytes_that_it_always_gave() -> None:
    data = pack({"manifest.json": b"{}", "model.onnx": b"x", "golden.npz": b"y"}, [KEY])
    assert hashlib.sha256(data).hexdigest() == "eb558f28021d41c619a181c328fc8b8a9045b25955ff24b2f6481f0c21c73580"


def test_the_signature_is_the_last_entry_behind_the_others_by_name() -> None:
    assert list(unzipped(pack(full_entries(), [KEY]))) == [*sorted(full_entries()), "signature.json"]


@pytest.mark.parametrize(
    "parts",
    [
        entries() | {"extra.txt": b""},
        entries() | {"signature.json": b""},
        entries() | {"model.fp8.onnx": b""},
        entries() | {"engine.sm8.rtx": b""},
        entries() | {"engine.sm1200.rtx": b""},
        {"manifest.json": b"", "model.onnx": b""},
    ],
)
def test_packing_refuses_what_is_no_bundle(parts: dict[str, bytes]) -> None:
    with pytest.raises(ValueError, match="at least"):
        pack(parts, [KEY])


def test_two_people_sign_one_after_another() -> None:
    first = pack(entries(), [KEY])
    both = countersign(first, [OTHER_KEY])
    assert both == pack(entries(), [KEY, OTHER_KEY])
    assert countersign(both, [KEY]) == both
    assert countersign(pack(entries(), []), [KEY]) == first


def test_nobody_countersigns_entries_that_are_not_those_of_the_statement() -> None:
    parts = unzipped(tiny_bundle()) | {"model.onnx": b"evil"}
    with pytest.raises(BundleError, match=r"model\.onnx is not what was signed"):
        countersign(zipped(parts.items()), [OTHER_KEY])


def test_nobody_countersigns_a_bundle_that_no_box_can_read() -> None:
    with pytest.raises(BundleError, match=r"manifest\.json"):
        countersign(pack(entries(manifest=b"{}"), [KEY]), [OTHER_KEY])


def test_a_variant_that_the_manifest_does_not_name_is_refused_and_the_other_way_round() -> None:
    refused(
        pack(entries() | {"model.fp16.onnx": energy_model()}, [KEY]), r"holds the variants \['fp16'\], .* names \[\]"
    )
    named = entries(manifest=msgspec.json.encode(manifest(variants={"int8": VARIANT})))
    refused(pack(named, [KEY]), r"holds the variants \[\], its manifest names \['int8'\]")


def test_an_engine_that_the_manifest_does_not_name_is_refused() -> None:
    refused(pack(entries() | {"engine.sm89.rtx": b"x"}, [KEY]), r"holds engines for \['sm89'\], .* names \[\]")


def test_a_certificate_that_is_none_is_refused() -> None:
    refused(pack(entries() | {"parity.json": b"{}"}, [KEY]), r"parity\.json")


def test_a_newer_schema_is_called_newer() -> None:
    newer = msgspec.json.encode({"schema": "stethos/bundle/2", "unheard_of": 1})
    refused(pack(entries(manifest=newer), [KEY]), "is stethos/bundle/2, this agent reads stethos/bundle/1")


def test_an_unknown_key_in_the_manifest_is_refused() -> None:
    more = msgspec.json.decode(msgspec.json.encode(manifest())) | {"surprise": 1}
    refused(pack(entries(manifest=msgspec.json.encode(more)), [KEY]), "surprise")


def test_a_manifest_that_is_no_text_is_refused() -> None:
    refused(pack(entries(manifest=b'{"schema":"\xff"}'), [KEY]), r"^manifest\.json: .*utf-8")


def changed(part: str, **changes: object) -> dict[str, object]:
    return {part: msgspec.structs.replace(getattr(manifest(), part), **changes)}


LASTING = Lasting(reference=1.0, threshold=1.0, rate_per_hour=1.0, scale=1.0, excursions=9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"channel_usual": [1.0]}, "channel_usual has 1 values for 3 channels"),
        ({"baseline": Baseline(band_edges_hz=[1.0, 2.0], channels=[])}, "the baseline is not one of 3 channels"),
        (changed("contract", hop=0), "hop and rate_hz must be positive"),
        (changed("contract", window=0), "hop and rate_hz must be positive"),
        (changed("contract", hold_cells=-1), "hop and rate_hz must be positive"),
        (changed("contract", rate_hz=0.0), "hop and rate_hz must be positive"),
        (changed("contract", channels=[]), "one or more distinct names"),
        (changed("contract", channels=[manifest().contract.channels[0]] * 3), "one or more distinct names"),
        (changed("calibration", scale=0.0), "must be positive, shape not negative"),
        (changed("calibration", rate_per_hour=0.0), "must be positive, shape not negative"),
        (changed("calibration", shape=-0.1), "must be positive, shape not negative"),
        (changed("calibration", lasting=msgspec.structs.replace(LASTING, scale=0.0)), "lasting scale"),
        (changed("calibration", lasting=msgspec.structs.replace(LASTING, rate_per_hour=0.0)), "lasting scale"),
        (changed("calibration", body_scores=[]), "one length above zero"),
        (changed("calibration", body_scores=[], body_rates=[]), "one length above zero"),
        (changed("golden", relative_tolerance=-1e-9), "tolerances must not be negative, nor both zero"),
        (changed("golden", absolute_tolerance=-1e-9), "tolerances must not be negative, nor both zero"),
        (changed("golden", relative_tolerance=0.0, absolute_tolerance=0.0), "tolerances .* nor both zero"),
        ({"name": ""}, "name must not be empty, counter must be positive"),
        ({"counter": 0}, "name must not be empty, counter must be positive"),
        ({"promise": Promise(batch_1_ms=0.0)}, "batch_1_ms must be positive"),
        ({"expires": "tomorrow"}, "expires: 'tomorrow' is no time in RFC 3339"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(change: dict[str, object], message: str) -> None:
    refused(pack(entries(manifest=msgspec.json.encode(manifest(**change))), [KEY]), rf"^manifest\.json: .*{message}")


@pytest.mark.parametrize(
    "change",
    [
        changed("golden", relative_tolerance=0.0),
        changed("golden", absolute_tolerance=0.0),
        changed("calibration", shape=0.0, lasting=LASTING),
        {"promise": Promise(batch_1_ms=0.1), "expires": "2027-06-30T00:00:00Z", "device_classes": ["box"]},
    ],
)
def test_a_manifest_at_the_edge_of_what_can_be_meant_is_taken(change: dict[str, object]) -> None:
    assert open_bundle(tiny_bundle(**change), [PUBLIC]).manifest == manifest(**change)


def with_golden(**changes: np.ndarray) -> bytes:
    vectors = golden()
    parts = {"windows": vectors.windows, "score": vectors.score, "channel_score": vectors.channel_score} | changes
    return golden_bytes(GoldenVectors(**parts))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"no zip", "not a zip file"),
        (zipped([("score.npy", b"")]), r"windows\.npy"),
        (with_golden(windows=np.array([object()])), "score.npy|windows must be finite float32 .* is object"),
        (with_golden(score=np.zeros(3, np.float32)), r"score must be finite float32 \(4,\), is float32 \(3,\)"),
        (with_golden(score=np.zeros(4, np.float64)), "is float64"),
        (with_golden(score=np.full(4, np.nan, np.float32)), "is not finite"),
        (with_golden(channel_score=np.full((4, 3), np.inf, np.float32)), "channel_score .* is not finite"),
    ],
)
def test_golden_vectors_that_cannot_prove_anything_are_refused(data: bytes, message: str) -> None:
    refused(pack(entries(golden=data), [KEY]), rf"^golden\.npz: .*({message}).*; export the bundle again$")


def stored(windows: bytes) -> bytes:
    """golden.npz with these bytes for its windows."""
    parts = unzipped(golden_bytes(golden()))
    return zipped((parts | {"windows.npy": windows}).items())


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda npy: b"", "windows: EOF"),
        (lambda npy: b"\x93NUMPY\x02" + npy[7:], "windows is not in version 1.0 of the format"),
        (lambda npy: npy.replace(b"{'descr'", b"{'descr("), "windows: "),
        (lambda npy: npy.replace(b"'<f4'", b"'>f4'"), "windows must be finite float32 .* is >f4"),
        (lambda npy: npy[:-1], r"windows must be finite float32 .* in 383 bytes"),
        (lambda npy: npy + b"\0", r"windows must be finite float32 .* in 385 bytes"),
        (lambda npy: npy + bytes(4096), r"windows has \d+ bytes, more than float32 \(4, 3, 8\) needs"),
    ],
)
def test_a_file_of_golden_windows_that_is_not_as_numpy_writes_it_is_refused(spoil, message: str) -> None:
    npy = unzipped(golden_bytes(golden()))["windows.npy"]
    refused(pack(entries(golden=stored(spoil(npy))), [KEY]), rf"^golden\.npz: {message}")


def test_golden_vectors_in_another_order_of_memory_are_read_all_the_same() -> None:
    data = with_golden(windows=np.asfortranarray(golden().windows))
    opened = open_bundle(pack(entries(golden=data), [KEY]), [PUBLIC])
    np.testing.assert_array_equal(opened.golden.windows, golden().windows)


def smallest() -> dict[str, bytes]:
    """The manifest, model and golden vectors of one channel, one sample and one window."""
    one = np.ones((1, 1, 1), np.float32)
    return {
        "manifest": msgspec.json.encode(manifest(1, 1, 1)),
        "model": energy_model(1, 1),
        "golden": golden_bytes(GoldenVectors(one, one[0, 0], one[0])),
    }


def test_one_golden_window_of_one_value_is_enough() -> None:
    opened = open_bundle(pack(entries(**smallest()), [KEY]), [PUBLIC])
    assert opened.golden.windows.tolist() == [[[1.0]]]


def test_golden_vectors_of_nothing_are_refused() -> None:
    none = msgspec.structs.replace(manifest().golden, windows=0)
    parts = entries(
        manifest=msgspec.json.encode(manifest(golden=none)),
        golden=golden_bytes(
            GoldenVectors(*(part[:0] for part in (golden().windows, golden().score, golden().channel_score)))
        ),
    )
    refused(pack(parts, [KEY]), "0 windows of 3 x 8 values")


def test_what_a_bundle_says_of_itself_can_be_read_for_people() -> None:
    found = unverified(pack(entries(), [OTHER_KEY]))
    assert found.manifest == manifest()
    assert found.claimed == (key_id(OTHER_KEY.public_key()),)
    assert found.sizes["model.onnx"] == len(energy_model())
    assert list(found.sizes) == ["golden.npz", "manifest.json", "model.onnx", "signature.json"]
