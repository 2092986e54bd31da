"""`stethos profile`: what a firmware's author types, from a new profile to a C header."""

from __future__ import annotations

import json
import shutil
import tomllib
from functools import partial

import jsonschema
import pytest

from agent.decode.profile_schema import profile_schema
from tests.harness import command_line
from tests.harness.profiles import FOLDER, shipped_names


@pytest.fixture
def stethos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return partial(command_line.stethos, "profile")


def test_every_shipped_profile_is_listed_with_its_maker(stethos):
    done = stethos("list", "--json")
    assert done.exit_code == 0
    rows = json.loads(done.stdout)
    assert [row["name"] for row in rows] == shipped_names()
    assert "Plantower: PMS5003" in stethos("list").stdout


def test_a_profile_is_shown_with_its_source_and_channels(stethos):
    shown = stethos("show", "scd41-slip")
    assert "Sensirion" in shown.stdout
    assert "framed by slip, crc8-nrsc-5" in shown.stdout
    assert "co2         [ppm], 0 to 40000" in shown.stdout
    assert json.loads(stethos("show", "scd41-slip", "--json").stdout)["framing"]["kind"] == "slip"


@pytest.mark.parametrize("name", shipped_names())
def test_every_shipped_profile_passes_its_check(stethos, name):
    done = stethos("check", name, "--json")
    assert done.exit_code == 0, done.stdout
    answer = json.loads(done.stdout)
    assert answer["ok"]
    assert answer["golden_samples"] > 0


def test_a_name_that_does_not_exist_is_answered_with_the_nearest(stethos):
    done = stethos("check", "pms5005")
    assert done.exit_code == 2
    assert "did you mean 'pms5003'?" in done.stderr


def test_a_wrong_profile_is_exit_code_2_and_wrong_frames_are_1(stethos, tmp_path):
    (tmp_path / "golden").mkdir()
    text = (FOLDER / "pms5003.toml").read_text()
    (tmp_path / "mine.toml").write_text(text.replace("sum16", "sum17"))
    assert stethos("check", "mine.toml").exit_code == 2
    assert (
        json.loads(stethos("check", "mine.toml", "--json").stdout)["problems"][0]["remedy"] == "did you mean 'sum16'?"
    )
    (tmp_path / "mine.toml").write_text(text.replace("sum16", "crc16-modbus"))
    shutil.copy(FOLDER / "golden" / "pms5003.toml", tmp_path / "golden" / "mine.toml")
    done = stethos("check", "mine.toml")
    assert done.exit_code == 1
    assert "mine.toml: the bytes give 0 samples, the file lists 3" in done.stderr


def test_without_golden_frames_the_check_says_so(stethos, tmp_path):
    shutil.copy(FOLDER / "pms5003.toml", tmp_path / "mine.toml")
    done = stethos("check", "mine.toml")
    assert done.exit_code == 0
    assert "no golden frames" in done.stdout


@pytest.mark.parametrize("record", ["binary", "csv", "json"])
def test_a_new_profile_is_sound_and_is_never_overwritten(stethos, tmp_path, record):
    made = stethos(
        "new", "node", "--format", record, "--channel", "speed:/min", "--channel", "heat:Cel", "--rate", "50"
    )
    assert made.exit_code == 0, made.output
    assert stethos("check", "node").exit_code == 0
    shown = json.loads(stethos("show", "node", "--json").stdout)
    assert [(channel["name"], channel["unit"]) for channel in shown["channel"]] == [("speed", "/min"), ("heat", "Cel")]
    assert stethos("new", "node").exit_code == 2


def test_a_channel_without_a_unit_is_bad_usage(stethos):
    assert stethos("new", "node", "--channel", "speed").exit_code == 2


def test_the_header_is_written_to_a_file_or_printed(stethos, tmp_path):
    printed = stethos("header", "accel3-cobs")
    assert printed.exit_code == 0
    assert stethos("header", "accel3-cobs", "--out", "accel3.h").exit_code == 0
    assert (tmp_path / "accel3.h").read_text() == printed.stdout
    assert "stethos_accel3_cobs_encode" in printed.stdout
    assert stethos("header", "skab-csv").exit_code == 2
    assert stethos("header", "accel3-cobs", "--out", "no/such/folder.h").exit_code == 2


class TestSchema:
    PUBLISHED = FOLDER / "profile.schema.json"

    def test_the_published_schema_is_current(self, stethos):
        assert json.loads(self.PUBLISHED.read_text()) == profile_schema()
        assert stethos("schema").stdout == self.PUBLISHED.read_text()

    @pytest.mark.parametrize("name", shipped_names())
    def test_shipped_profiles_validate(self, name):
        jsonschema.validate(tomllib.loads((FOLDER / f"{name}.toml").read_text()), profile_schema())

    def test_an_unknown_key_does_not(self):
        document = tomllib.loads((FOLDER / "pms5003.toml").read_text())
        with pytest.raises(jsonschema.ValidationError, match="boud"):
            jsonschema.validate(document | {"boud": 9600}, profile_schema())
