"""When an engine may stand for another, which file it lies in, and what is said of a capability that there is not."""

from __future__ import annotations

import msgspec
import pytest

from agent.errors import ConfigError
from agent.infer.engine_key import CAPABILITIES, EngineFacts, EngineKey, misfit, parse_capability

KEY = EngineKey(
    way="tensorrt-rtx", model_sha256="ab" * 32, tensorrt="1.7.1", cuda="13.0", driver="580.95.05", capability="sm89"
)
FACTS = EngineFacts(tensorrt_rtx="1.7.1", capability="sm89", model_sha256="ab" * 32, max_batch=256)
OTHERS = {
    "way": "tensorrt",
    "model_sha256": "cd" * 32,
    "tensorrt": "1.7.2",
    "cuda": "13.1",
    "driver": "581.10",
    "capability": "sm86",
    "max_batch": 64,
}


def test_an_equal_key_has_the_same_name() -> None:
    assert msgspec.json.decode(msgspec.json.encode(KEY), type=EngineKey).name == KEY.name


@pytest.mark.parametrize("part", EngineKey.__struct_fields__)
def test_every_part_of_the_key_changes_its_name(part: str) -> None:
    assert msgspec.structs.replace(KEY, **{part: OTHERS[part]}).name != KEY.name


@pytest.mark.parametrize("part", ["tensorrt", "cuda", "driver", "capability", "max_batch"])
def test_an_engine_of_a_newer_box_replaces_that_of_the_old(part: str) -> None:
    assert msgspec.structs.replace(KEY, **{part: OTHERS[part]}).replaces(KEY)


@pytest.mark.parametrize("part", ["way", "model_sha256"])
def test_an_engine_of_another_model_or_way_is_let_be(part: str) -> None:
    assert not msgspec.structs.replace(KEY, **{part: OTHERS[part]}).replaces(KEY)
    assert not KEY.replaces(KEY)


def test_an_engine_of_the_bundle_fits_whatever_driver_the_box_has() -> None:
    assert misfit(FACTS, KEY) is None
    assert misfit(FACTS, msgspec.structs.replace(KEY, driver="590.1", cuda="13.2")) is None


@pytest.mark.parametrize(
    ("part", "value", "told"),
    [
        ("tensorrt_rtx", "1.6.0", "TensorRT-RTX 1.6.0 is not 1.7.1"),
        ("capability", "sm86", "compute capability sm86 is not sm89"),
        ("model_sha256", "cd" * 32, "model "),
        ("max_batch", 64, "largest batch 64 is not 256"),
    ],
)
def test_an_engine_of_the_bundle_that_differs_in_anything_else_is_not_used(part: str, value: object, told: str) -> None:
    reason = misfit(msgspec.structs.replace(FACTS, **{part: value}), KEY)
    assert reason is not None
    assert told in reason


def test_an_engine_of_the_bundle_is_nothing_for_the_other_way() -> None:
    assert misfit(FACTS, msgspec.structs.replace(KEY, way="tensorrt")) == "engines in bundles are TensorRT-RTX's"


@pytest.mark.parametrize("text", ["SM89", "sm89", "sm_89", " 89 "])
def test_a_capability_may_be_written_as_people_write_it(text: str) -> None:
    assert parse_capability(text) == "sm89"


@pytest.mark.parametrize(("text", "nearest"), [("SM90", "SM89"), ("SM87", "SM86"), ("sm100", "SM89"), ("130", "SM121")])
def test_an_unknown_capability_is_named_with_the_nearest_known(text: str, nearest: str) -> None:
    with pytest.raises(ConfigError, match=f"the nearest that it builds for is {nearest}"):
        parse_capability(text)


@pytest.mark.parametrize("text", ["", "ada", "8.9", "SM8", "SM1234"])
def test_what_is_no_capability_is_answered_with_all_there_are(text: str) -> None:
    with pytest.raises(ConfigError, match="SM75, SM80, SM86, SM89, SM120, SM121"):
        parse_capability(text)


def test_the_capabilities_are_those_of_the_builder() -> None:
    trt = pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed: stethos[tensorrt]")
    known = {name.lower() for name in trt.ComputeCapability.__members__ if name.startswith("SM")}
    assert set(CAPABILITIES) == known
