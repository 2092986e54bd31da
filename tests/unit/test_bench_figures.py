"""docs/figures.json keeps what other groups measured, sorted, and an entry says where and how it was found."""

from __future__ import annotations

import json

import pytest

from tests.bench.figures import Figure, put, significant, this_host, update
from tests.bench.rounds import alternate, compare


@pytest.fixture
def path(tmp_path):
    return tmp_path / "figures.json"


def names(path):
    return [entry["name"] for entry in json.loads(path.read_text())]


def test_a_group_replaces_its_own_figures_and_leaves_others(path):
    update(path, "start", [Figure("start.ready", 0.5, "s", goal="< 2")])
    before = json.loads(path.read_text())[0]
    update(path, "pipeline", [Figure("pipeline.9_streams", 0.7, "x"), Figure("pipeline.1_streams", 0.6, "x")])
    assert names(path) == ["pipeline.1_streams", "pipeline.9_streams", "start.ready"]
    update(path, "pipeline", [Figure("pipeline.1_streams", 0.8, "x")])
    assert names(path) == ["pipeline.1_streams", "start.ready"]
    assert json.loads(path.read_text())[1] == before


def test_an_entry_has_every_field_of_the_schema(path):
    update(path, "start", [Figure("start.ready", 0.0, "s")])
    entry = json.loads(path.read_text())[0]
    assert set(entry) == {"name", "value", "unit", "against", "goal", "command", "measured", "host"}
    assert (entry["value"], entry["against"], entry["command"]) == (0.0, None, "make bench ONLY=start")
    assert entry["host"] == this_host()


def test_what_another_command_made_says_so(path):
    update(path, "soak", [Figure("soak.lost", 0, "alarms")], "make soak MINUTES=10")
    assert json.loads(path.read_text())[0]["command"] == "make soak MINUTES=10"


def test_a_figure_by_itself_replaces_only_the_one_of_its_name(path):
    update(path, "mutation", [Figure("mutation.a", 0.5, "x"), Figure("mutation.b", 0.6, "x")])
    put(path, Figure("mutation.a", 0.9, "x"), "scripts/mutate a")
    assert [(entry["value"], entry["command"]) for entry in json.loads(path.read_text())] == [
        (0.9, "scripts/mutate a"),
        (0.6, "make bench ONLY=mutation"),
    ]


def test_a_figure_of_another_group_is_refused(path):
    with pytest.raises(ValueError, match=r"idle\.cpu"):
        update(path, "start", [Figure("idle.cpu", 1.0, "%")])
    assert not path.exists()


def test_the_host_is_named_by_its_processor(tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: Z80 at 4 MHz\n")
    assert this_host(cpuinfo).startswith("Z80 at 4 MHz, ")
    assert this_host(tmp_path / "absent").startswith("unknown processor, ")


def test_values_are_rounded_to_significant_digits():
    assert [significant(value) for value in (0.0, 0.012345, 1234.5)] == [0.0, 0.0123, 1230.0]


def test_ours_and_bare_are_compared_within_each_round():
    assert compare([(1.0, 2.0), (10.0, 10.0), (3.0, 12.0)]) == (0.5, 3.0, 10.0)


def test_the_first_round_warms_up_and_the_order_alternates():
    calls = []

    def one(name, rate):
        calls.append(name)
        return rate

    found = alternate(lambda: one("ours", 1.0), lambda: one("bare", 4.0), 2)
    assert found == (0.25, 1.0, 4.0)
    assert calls == ["ours", "bare", "ours", "bare", "bare", "ours"]
