"""The demo's files are what the real programs read: a data set, an agent's configuration, and frames of its profile."""

from pathlib import Path

import numpy as np
import pytest

from agent.config.load import load as load_config
from agent.config.profiles import read_profile
from agent.decode.decoder import Decoder
from agent.decode.encode import Encoder
from agent.demo import tennessee
from agent.demo.files import DEVICE, PROFILE, Model, write_agent, write_dataset
from agent.errors import ConfigError
from agent.types import Chunk, Quality

START_NS = 1_700_000_100_000_000_000


@pytest.fixture(scope="module")
def profile():
    return read_profile(PROFILE, Path())


def test_the_runs_have_the_published_shapes_and_units():
    first, second = tennessee.normal_runs()
    assert (first.shape, second.shape) == ((500, 52), (960, 52))
    # The steady state of Downs and Vogel 1993: reactor pressure 2705 kPa, reactor temperature 120.40 °C.
    for run in (first, second, tennessee.faulty_run(1)[: tennessee.ONSET_ROW]):
        assert run[:, 6].mean() == pytest.approx(2705, abs=5)
        assert run[:, 8].mean() == pytest.approx(120.4, abs=0.05)


def test_the_fault_begins_at_the_onset():
    run, normal = tennessee.faulty_run(1), tennessee.normal_runs()[0]
    away = np.abs((run - normal.mean(0)) / normal.std(0)).mean(1)
    assert away[: tennessee.ONSET_ROW].max() < 2
    assert away[tennessee.ONSET_ROW + 20 :].mean() > 2


def test_missing_data_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(tennessee.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(ConfigError, match=r"pip install --no-deps bibmon"):
        tennessee.normal_runs()


def test_the_data_set_is_one_that_training_accepts(tmp_path, profile):
    pytest.importorskip("pyarrow")
    from export import data, dataset

    recordings = data.read(dataset.load(write_dataset(tmp_path, profile, fault=1)))
    assert [(run.role, len(run.t_ns)) for run in recordings.runs] == [
        ("train", 500),
        ("train", 480),
        ("calibrate", 480),
        ("test", 960),
    ]
    np.testing.assert_array_equal(recordings.runs[0].values, tennessee.normal_runs()[0])
    assert np.flatnonzero(recordings.runs[3].anomalous)[0] == tennessee.ONSET_ROW


def test_the_configuration_is_one_that_the_agent_reads(tmp_path, profile):
    folder = tmp_path / 'with space and "quote"'
    folder.mkdir()
    path = folder / "agent.toml"
    model = Model(folder / "x.stethos", folder / "x.pub")
    write_agent(path, port="/dev/pts/7", broker=("::1", 1883), model=model, channels=profile.channel_names)
    loaded = load_config(path)
    assert loaded.problems == ()
    config = loaded.config
    assert config.device[0].serial.port == "/dev/pts/7"
    assert config.machine[0].bundle == str(folder / "x.stethos")
    assert config.machine[0].channels[0] == f"{DEVICE}.a_feed"
    assert len(config.machine[0].channels) == tennessee.CHANNELS
    assert config.upstream.broker == "mqtt://[::1]:1883"


def test_frames_of_the_profile_carry_every_value_and_time(profile):
    rows = tennessee.faulty_run(1)[:300]
    times = START_NS + np.arange(len(rows)) * tennessee.ROW_NS
    encoder, decoder = Encoder(profile), Decoder(profile, DEVICE)
    wire = b"".join(encoder.frame(row, int(t_ns)) for row, t_ns in zip(rows, times, strict=True))
    batch = decoder.feed([Chunk(DEVICE, wire, START_NS)])
    np.testing.assert_array_equal(batch.values, rows)
    np.testing.assert_array_equal(batch.t_ns, times)
    assert (batch.quality == Quality.GOOD).all()
    assert batch.lost == 0
