"""The certificate refuses what contradicts itself, and the signature what was altered."""

from __future__ import annotations

import io
import zipfile

import msgspec
import pytest

from agent.errors import BundleError
from agent.infer.bundle import open_bundle, pack
from agent.infer.certificate import LEAST_AGREEMENT, Parity, Spread, read, write
from tests.harness.bundles import KEY, PUBLIC, entries
from tests.harness.parity import certificate, comparison

replace = msgspec.structs.replace


def with_spread(**changes: float) -> Parity:
    known = comparison()
    errors = known.sets["edge"].errors["score"]
    spoilt = replace(errors, absolute=replace(errors.absolute, **changes))
    sets = known.sets | {"edge": replace(known.sets["edge"], errors={"score": spoilt})}
    return certificate(replace(known, sets=sets))


@pytest.mark.parametrize(
    ("parity", "message"),
    [
        (replace(certificate(), schema="stethos/parity/2"), "is stethos/parity/2, this agent reads stethos/parity/1"),
        (replace(certificate(), windows=certificate().windows * 2), "twice"),
        (certificate(comparison("int8")), "does not compare fp32"),
        (certificate(comparison(differing=(0, 1001))), "of 1000 windows at most"),
        (certificate(replace(comparison(), sets={})), "was tried on"),
        (with_spread(p99=1.0), "do not ascend"),
        (replace(certificate(), model_sha256="abc"), "model_sha256"),
        (replace(certificate(), comparisons=[comparison()] * 33), "comparisons"),
        (replace(certificate(), machine="x" * 501), "machine"),
        (replace(certificate(), batch=0), "batch"),
    ],
)
def test_a_certificate_that_contradicts_itself_is_refused(parity: Parity, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        read(write(parity))


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(BundleError, match="surprise"):
        read(write(certificate()).replace(b'"batch"', b'"surprise": 1, "batch"'))


def test_the_agreement_is_the_least_over_sets_and_budgets() -> None:
    parity = certificate(comparison(), comparison("int8", (0, 2)))
    assert parity.agreement(parity.comparisons[1]) == pytest.approx(0.998)
    assert parity.agreement(parity.comparisons[1]) < LEAST_AGREEMENT <= parity.agreement(parity.comparisons[0])


def test_errors_that_are_no_numbers_cannot_be_written_as_such() -> None:
    with pytest.raises(BundleError):
        read(write(with_spread(max=float("nan"))))
    assert Spread(p50=0.0, p99=0.0, max=0.0).max == 0


def test_a_certificate_travels_in_the_bundle_and_the_signature_catches_any_change() -> None:
    parity = certificate(comparison(), comparison("int8", (0, 900)))
    data = pack({**entries(), "parity.json": write(parity)}, [KEY])
    assert open_bundle(data, [PUBLIC]).parity == parity
    better = write(certificate(comparison(), comparison("int8", (0, 0))))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in (parts | {"parity.json": better}).items():
            archive.writestr(name, content)
    with pytest.raises(BundleError, match=r"parity\.json is not what was signed"):
        open_bundle(buffer.getvalue(), [PUBLIC])


def test_a_signed_certificate_that_is_none_is_refused_with_its_bundle() -> None:
    with pytest.raises(BundleError, match=r"parity\.json"):
        open_bundle(pack({**entries(), "parity.json": b"{}"}, [KEY]), [PUBLIC])
