"""`stethos model train` as a user meets it: killed and resumed, by several processes, with options and logs."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from click.testing import Result

from export import training_log
from export.models import FAMILIES
from tests.harness.command_line import STETHOS, stethos
from tests.harness.datasets import write_dataset

_ARGUMENTS = ("--window", "16", "--hop", "4", "--model", "conv-autoencoder")


def train(folder: Path, *more: object, out: str = "run", epochs: int = 2) -> Result:
    return stethos(
        "model", "train", folder / "pump.toml", *_ARGUMENTS, "--out", folder / out, "--epochs", epochs, *more
    )


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "model.pt", weights_only=True)


def in_group(command: list[str]) -> str:
    """What the processes print, once all have ended; none of them outlives the test."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        stdout, stderr = process.communicate(timeout=250)
    finally:
        process.terminate()  # ends its workers too, which lead sessions of their own
        process.wait(30)
    assert process.returncode == 0, stderr
    return stdout


def same(first: Path, second: Path) -> bool:
    one, other = weights(first), weights(second)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_dataset(tmp_path)
    return tmp_path


def test_a_killed_training_resumes_to_the_weights_of_an_uninterrupted_one(folder: Path) -> None:
    command = [*STETHOS, "model", "train", str(folder / "pump.toml"), *_ARGUMENTS]
    command += ["--epochs", "12", "--device", "cpu", "--log", f"jsonl={folder / 'log.jsonl'}"]
    cut_off = [*command, "--out", str(folder / "run")]
    process = subprocess.Popen(cut_off, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    log, deadline = folder / "log.jsonl", time.monotonic() + 250
    while not (log.exists() and '"epoch": 2' in log.read_text()):
        assert process.poll() is None, "training ended before it was killed"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    assert (folder / "run" / "checkpoint.pt").exists()
    assert not (folder / "run" / "run.json").exists()
    again = subprocess.run([*cut_off, "--resume"], capture_output=True, text=True, timeout=250, check=False)
    assert again.returncode == 0, again.stderr
    whole = subprocess.run(
        [*command, "--out", str(folder / "whole")], capture_output=True, text=True, timeout=250, check=False
    )
    assert whole.returncode == 0, whole.stderr
    assert same(folder / "run", folder / "whole")
    first, second = (json.loads((folder / name / "run.json").read_text()) for name in ("run", "whole"))
    assert first["losses"] == second["losses"]
    assert len(first["losses"]) == 12
    assert not (folder / "run" / "checkpoint.pt").exists()


def test_two_processes_train_one_model_and_one_of_them_writes(folder: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "agent.cli.main", "model", "train", str(folder / "pump.toml"), *_ARGUMENTS, "--device", "cpu"]
    command += ["--out", str(folder / "run"), "--epochs", "3", "--set", "batch_size=16"]
    assert in_group(command).count("was best") == 1
    record = json.loads((folder / "run" / "run.json").read_text())
    assert record["training"] == {
        "batch_size": 16,
        "device": "cpu",
        "precision": "float32",
        "compiled": 0,
        "processes": 2,
    }
    # two processes of 16 windows a step take the steps of one with 32, on other windows
    assert train(folder, out="alone", epochs=3).exit_code == 0
    alone = json.loads((folder / "alone" / "run.json").read_text())
    assert record["validation_loss"] == pytest.approx(alone["validation_loss"], rel=0.1)
    assert record["losses"] != alone["losses"]


def test_a_finished_run_cannot_be_resumed(folder: Path) -> None:
    assert train(folder).exit_code == 0
    again = train(folder, "--resume")
    assert (again.exit_code, "no unfinished training" in again.output) == (2, True)


def test_options_reach_the_model_and_its_record(folder: Path) -> None:
    done = train(folder, "--set", "latent=3", "--set", "learning_rate=0.004")
    assert done.exit_code == 0, done.output
    record = json.loads((folder / "run" / "run.json").read_text())
    assert record["options"] == {"latent": 3}
    assert record["training"]["learning_rate"] == 0.004
    assert stethos("model", "evaluate", folder / "run").exit_code == 0


def test_a_bad_option_and_a_bad_log_are_usage_errors(folder: Path) -> None:
    option = train(folder, "--set", "latnet=3")
    assert (option.exit_code, "did you mean 'latent'" in option.output) == (2, True)
    log = train(folder, "--log", "wandb=x")
    assert (log.exit_code, "jsonl=FILE or tensorboard=FOLDER" in log.output) == (2, True)
    blocked = train(folder, "--log", f"jsonl={folder / 'pump.toml' / 'log'}")
    assert (blocked.exit_code, "cannot be written" in blocked.output) == (2, True)


def test_losses_are_logged_for_tensorboard_and_as_lines(folder: Path) -> None:
    done = train(folder, "--log", f"tensorboard={folder / 'board'}", "--log", f"jsonl={folder / 'log.jsonl'}", epochs=3)
    assert done.exit_code == 0, done.output
    losses = json.loads((folder / "run" / "run.json").read_text())["losses"]
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert lines[0]["settings"]["model"] == "conv-autoencoder"
    assert [[line["train_loss"], line["validation_loss"]] for line in lines[1:]] == losses

    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(folder / "board")).Reload()
    for index, tag in enumerate(("loss/train", "loss/validation")):
        events = board.Scalars(tag)
        assert [event.step for event in events] == [1, 2, 3]
        assert [event.value for event in events] == pytest.approx([pair[index] for pair in losses])


def test_without_tensorboard_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with (
        pytest.raises(training_log.ConfigError, match=r"install stethos\[tensorboard\]"),
        training_log.opened([f"tensorboard={tmp_path}"], {}),
    ):
        pass


def test_families_are_listed_with_their_options() -> None:
    told = stethos("model", "list")
    assert told.exit_code == 0, told.output
    lines = told.output.splitlines()
    assert [line.split(":")[0].split(" ")[0] for line in lines] == sorted(FAMILIES)
    assert "latent = 8 in 2..32" in next(line for line in lines if line.startswith("conv-autoencoder"))
    rows = {row["name"]: row for row in json.loads(stethos("model", "list", "--json").output)}
    assert rows["conv-autoencoder"]["options"]["learning_rate"]["default"] == 0.002
    assert "learning_rate" not in rows["pca"]["options"]
