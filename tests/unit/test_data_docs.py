"""docs/data.md shows data sets that are read, and lists what there is."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from agent.assembly import LATENESS_NS
from export import cutting, dataset, synthetic
from export.augment import AUGMENTATIONS
from export.dataset_schema import Channel, Dataset, RunFile, Source

TEXT = (Path(__file__).parents[2] / "docs" / "data.md").read_text()
BLOCKS = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.split('"')[1])
def test_every_data_set_shown_is_sound(block: str, tmp_path: Path) -> None:
    folder = any(line.startswith("[[source]]") for line in block.splitlines())
    for file in re.findall(r'^(?:file|intervals) = "(.*?)"', block, re.MULTILINE):
        path = tmp_path / file.replace("*", "1")
        path.parent.mkdir(parents=True, exist_ok=True)
        if file in {"runs/*", "record"}:
            path.mkdir(exist_ok=True)
        elif not folder:
            path.touch()
        else:
            (tmp_path / "runs" / "1").mkdir(parents=True, exist_ok=True)
            (tmp_path / "runs" / "1" / file).touch()
    (tmp_path / "d.toml").write_text(block)
    assert dataset.load(tmp_path / "d.toml").dataset.channel


@pytest.mark.parametrize("kind", [Dataset, RunFile, Source, Channel])
def test_every_key_is_named(kind: type[msgspec.Struct]) -> None:
    named = set(re.findall(r"[a-z_]+", TEXT))
    assert {field.encode_name for field in msgspec.structs.fields(kind)} <= named


def test_every_augmentation_and_anomaly_is_named() -> None:
    assert {*AUGMENTATIONS, *synthetic.KINDS} <= set(re.findall(r"[a-z]+", TEXT))


def test_cells_wait_as_long_as_on_the_box() -> None:
    assert cutting.LATENESS_NS == LATENESS_NS
