"""`stethos model export --tensorrt`: real engines for GPUs that are not here become signed entries of the bundle."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import msgspec
import pytest
from click.testing import Result
from rich.console import Console

from agent.errors import BundleError
from agent.infer import archive
from agent.infer.bundle import Bundle, open_bundle
from agent.infer.engine_options import engine_options
from agent.infer.gpu import FakeGpu
from agent.infer.keys import public_key
from agent.infer.settings import InferenceSettings
from export.cli.engine_progress import EngineProgress
from tests.harness.command_line import stethos
from tests.harness.datasets import write_dataset
from tests.harness.engines import ADA, RTX_VERSION

pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed: stethos[tensorrt], x86-64 alone")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("supplier")
    write_dataset(folder)
    assert stethos("bundle", "keygen", folder / "release").exit_code == 0
    options = ("--model", "pca", "--window", 16, "--hop", 4, "--out", folder / "run")
    trained = stethos("model", "train", folder / "pump.toml", *options)
    assert trained.exit_code == 0, trained.output
    return folder


def export(folder: Path, version: str, *options: object) -> Result:
    return stethos(
        "model",
        "export",
        folder / "run",
        "--key",
        folder / "release.key",
        "--out",
        folder,
        "--version",
        version,
        *options,
    )


@pytest.fixture(scope="module")
def bundle(folder: Path) -> Bundle:
    result = export(folder, "1.1.0", "--tensorrt", "SM86,sm_89")
    assert result.exit_code == 0, result.output
    key = public_key((folder / "release.pub").read_bytes(), "pub")
    return open_bundle((folder / "pump-1.1.0.stethos").read_bytes(), [key])


def test_engines_are_signed_entries_that_the_manifest_describes(folder: Path, bundle: Bundle) -> None:
    assert set(bundle.engines) == set(bundle.manifest.engines) == {"sm86", "sm89"}
    for name, engine in bundle.engines.items():
        assert bundle.digests[f"engine.{name}.rtx"] == hashlib.sha256(engine).hexdigest()
        facts = bundle.manifest.engines[name]
        assert (facts.capability, facts.tensorrt_rtx) == (name, RTX_VERSION)
        assert facts.model_sha256 == hashlib.sha256(bundle.model).hexdigest()
    shown = json.loads(stethos("bundle", "show", folder / "pump-1.1.0.stethos", "--json").stdout)
    assert shown["engines"]["sm89"] == msgspec.to_builtins(bundle.manifest.engines["sm89"])


def test_a_box_with_that_gpu_takes_the_engine_and_another_does_not(
    folder: Path, bundle: Bundle, tmp_path: Path
) -> None:
    settings = InferenceSettings(device="tensorrt-rtx", cache=tmp_path)
    found = engine_options(bundle, settings, FakeGpu(ADA), lambda _: RTX_VERSION)
    assert found is not None
    assert bundle.engines["sm89"] in found.model
    assert engine_options(bundle, settings, FakeGpu(ADA), lambda _: "1.8.0") is None
    assert engine_options(bundle, settings, FakeGpu(None), lambda _: RTX_VERSION) is None


def test_an_engine_that_was_swapped_for_another_is_not_what_was_signed(folder: Path, bundle: Bundle) -> None:
    data = (folder / "pump-1.1.0.stethos").read_bytes()
    entries = archive.read(data, len(data))
    swapped = archive.write({**entries, "engine.sm89.rtx": bundle.engines["sm86"]})
    with pytest.raises(BundleError, match=r"engine\.sm89\.rtx is not what was signed"):
        open_bundle(swapped, [public_key((folder / "release.pub").read_bytes(), "pub")])


def test_an_unknown_capability_is_answered_with_the_nearest_and_writes_nothing(folder: Path) -> None:
    result = export(folder, "1.4.0", "--tensorrt", "SM86,SM90")
    assert result.exit_code == 2
    assert "the nearest that it builds for is SM89" in result.output
    assert not (folder / "pump-1.4.0.stethos").exists()


def test_a_log_has_a_line_for_each_engine() -> None:
    output = io.StringIO()
    with EngineProgress(Console(file=output, force_terminal=False)) as progress:
        for capability in ("sm86", "sm89"):
            for part in (0.1, 0.5, 1.0):
                progress(capability, part)
    assert output.getvalue() == "building the engine for SM86\nbuilding the engine for SM89\n"


def test_a_terminal_has_a_bar_for_each_engine() -> None:
    output = io.StringIO()
    with EngineProgress(Console(file=output, force_terminal=True, width=100)) as progress:
        progress("sm86", 0.5)
    assert "engine for SM86" in output.getvalue()
    assert "building" not in output.getvalue()
