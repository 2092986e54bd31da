"""What the README tells people to write and to type is what the programs take."""

import re
import shlex
from pathlib import Path

import click
import pytest

from agent.cli.main import main
from agent.config.load import load as load_config

README = (Path(__file__).resolve().parents[2] / "README.md").read_text()
BLOCKS = [
    re.sub(r"^ {3}", "", text, flags=re.MULTILINE) for text in re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
]
COMMANDS = sorted(set(re.findall(r"^ *(stethos .*?)(?: +#.*)?$", README, re.MULTILINE)))


def test_the_agents_file_has_only_known_keys(tmp_path):
    path = tmp_path / "agent.toml"
    path.write_text(BLOCKS[0])
    assert load_config(path).problems == ()


def test_the_data_set_is_one_that_training_reads(tmp_path):
    pytest.importorskip("torch")
    from export.dataset import load as load_dataset

    path = tmp_path / "pump.toml"
    path.write_text(BLOCKS[1])
    for name in ("may.csv", "june.csv", "july.csv"):
        (tmp_path / name).touch()
    assert [run.role for run in load_dataset(path).dataset.run] == ["train", "calibrate", "test"]


def test_every_step_from_recording_to_alarm_is_shown():
    shown = [" ".join(command.split()[1:3]) for command in COMMANDS]
    steps = ["model train", "model evaluate", "bundle keygen", "model export", "check agent.toml", "run agent.toml"]
    assert sorted(shown) == sorted(steps)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_one_that_the_program_takes(command):
    words = shlex.split(command)[1:]
    taker: click.Command = main
    while isinstance(taker, click.Group):
        taker = taker.get_command(click.Context(taker), words.pop(0))
    assert taker.make_context(taker.name, words).params
