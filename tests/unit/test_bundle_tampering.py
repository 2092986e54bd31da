"""Attack stories of what was signed: a bit flips, or entries are exchanged, left out or added, and the box finds out."""

from __future__ import annotations

import pytest

from agent.infer import dsse, statement
from agent.infer.bundle import pack
from tests.harness.attacks import flipped, refused
from tests.harness.bundles import KEY, entries, full_entries, tiny_bundle
from tests.harness.zips import unzipped, zipped


@pytest.mark.parametrize("name", [*full_entries(), "signature.json"])
def test_a_bit_flips_in_an_entry_and_the_zip_is_made_anew_around_it(name: str) -> None:
    parts = unzipped(pack(full_entries(), [KEY]))
    parts[name] = flipped(parts[name], len(parts[name]) // 2)
    refused(
        zipped(parts.items()), f"{name} is not what was signed" if name != "signature.json" else "signature|trusted"
    )


def test_a_bit_flips_on_a_bad_disk() -> None:
    data = tiny_bundle()
    refused(flipped(data, data.index(b"channel_score")), "no intact zip file: Bad CRC-32")


def test_the_manifest_of_another_release_that_was_signed_too_is_put_in() -> None:
    parts, other = unzipped(tiny_bundle()), unzipped(tiny_bundle(version="2.0.0"))
    refused(zipped((parts | {"manifest.json": other["manifest.json"]}).items()), "manifest.json is not what was signed")


def test_two_entries_change_places() -> None:
    parts = unzipped(pack(full_entries(), [KEY]))
    parts["engine.sm86.rtx"], parts["engine.sm120.rtx"] = parts["engine.sm120.rtx"], parts["engine.sm86.rtx"]
    refused(zipped(parts.items()), "engine.sm120.rtx is not what was signed")


def test_an_entry_that_was_signed_is_left_out() -> None:
    parts = unzipped(pack(full_entries(), [KEY]))
    del parts["parity.json"]
    refused(zipped(parts.items()), "the signature covers .*parity.json")
    del parts["golden.npz"]
    refused(zipped(parts.items()), "lacks golden.npz")


def test_an_engine_that_nobody_signed_is_added() -> None:
    refused(
        zipped([*unzipped(tiny_bundle()).items(), ("engine.sm89.rtx", b"evil")]), "the signature covers .*, not .*sm89"
    )


def test_a_signature_that_leaves_the_model_out_is_made_by_the_right_key() -> None:
    parts = entries()
    told = statement.encode({name: parts[name] for name in ("manifest.json", "golden.npz")})
    signature = dsse.sign(statement.PAYLOAD_TYPE, told, [KEY])
    refused(zipped([*parts.items(), ("signature.json", signature)]), "the signature covers")


def test_a_request_that_the_same_key_signed_is_put_in_the_place_of_a_statement() -> None:
    signature = dsse.sign("application/vnd.stethos.request+json", statement.encode(entries()), [KEY])
    refused(zipped([*entries().items(), ("signature.json", signature)]), "signs application/vnd.stethos.request")
