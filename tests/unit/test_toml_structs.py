"""Every problem of a TOML file stands at its own line, with what is wrong and the nearest right word."""

from __future__ import annotations

import textwrap
from typing import Annotated, Literal

import msgspec
import pytest

from agent.errors import ConfigError
from agent.toml_structs import locator, nearest, parse, survey


class Inner(msgspec.Struct, kw_only=True):
    port: str
    baud: int = 9600
    parity: Literal["none", "even"] = "none"


class Item(msgspec.Struct, kw_only=True):
    id: str
    inner: Inner | None = None
    rate: Annotated[float, msgspec.Meta(gt=0)] = 1.0


class Whole(msgspec.Struct, kw_only=True):
    name: str
    item: list[Item]
    top: Inner
    by_name: dict[str, Inner] = {}

    def __post_init__(self) -> None:
        if self.name == "forbidden":
            raise ValueError("this name is taken")


GOOD = """
name = "n"
[top]
port = "p"
[[item]]
id = "a"
"""


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(textwrap.dedent(text), "f.toml", Whole)
    return [str(problem) for problem in caught.value.problems]


def test_a_good_file_becomes_its_struct() -> None:
    parsed = parse(GOOD, "f.toml", Whole)
    assert parsed.value == Whole(name="n", item=[Item(id="a")], top=Inner(port="p"))
    assert parsed.locate(("item", 0, "id")) == "f.toml:6: item[0].id"


def test_all_problems_come_at_once_in_the_order_of_the_fields() -> None:
    found = problems("""
        name = 5
        nmae = "n"
        [top]
        port = "p"
        baud = "fast"
        parity = "odd"
        [[item]]
        id = "a"
        [[item]]
        di = "b"
        inner = { port = "q", bod = 1 }
        rate = 0
        [by_name.x]
        prt = "z"
        """)
    assert found == [
        "f.toml:3: nmae: unknown key 'nmae' (did you mean 'name'?)",
        "f.toml:2: name: Expected `str`, got `int`, found 5",
        "f.toml:11: item[1].di: unknown key 'di' (did you mean 'id'?)",
        "f.toml:10: item[1]: the key 'id' is missing (add id = ...)",
        "f.toml:12: item[1].inner.bod: unknown key 'bod' (did you mean 'baud'?)",
        "f.toml:13: item[1].rate: Expected `float` > 0.0, found 0",
        "f.toml:6: top.baud: Expected `int`, got `str`, found 'fast'",
        "f.toml:7: top.parity: 'odd' is no choice here (known here: even, none)",
        "f.toml:15: by_name.x.prt: unknown key 'prt' (did you mean 'port'?)",
        "f.toml:14: by_name.x: the key 'port' is missing (add port = ...)",
    ]


def test_a_missing_table_is_asked_for_by_its_header() -> None:
    assert problems("") == [
        "f.toml: the key 'name' is missing (add name = ...)",
        "f.toml: the key 'item' is missing (add [[item]])",
        "f.toml: the key 'top' is missing (add [top])",
    ]


def test_a_value_in_the_place_of_a_table_is_not_repeated() -> None:
    assert problems(GOOD.replace('[top]\nport = "p"', "top = 'hunter2'")) == [
        "f.toml:3: top: expected a table, found str (its keys are port, baud, parity)"
    ]


def test_a_rule_that_binds_a_whole_struct_is_reported_too() -> None:
    assert problems(GOOD.replace('"n"', '"forbidden"')) == ["f.toml: this name is taken"]


@pytest.mark.parametrize("text", ["name = ", "a = 1\na = 2", "a = " + "[" * 5_000, "a = " + "9" * 5_000])
def test_what_is_no_toml_is_one_problem(text: str) -> None:
    [problem] = problems(text)
    assert problem.startswith("f.toml: not TOML: ")


def test_unknown_keys_alone_leave_a_struct_to_judge_further() -> None:
    found = survey(GOOD + "colour = 'red'", "f.toml", Whole)
    assert found.value is not None
    assert [str(problem) for problem in found.problems] == [
        "f.toml:7: item[0].colour: unknown key 'colour' (known here: id, inner, rate)"
    ]


@pytest.mark.parametrize(
    ("text", "path", "line"),
    [
        ("a = 1\nb.c = 2", ("b", "c"), 2),
        ("a = 1\nb.c = 2", ("b",), 2),
        ("['x y'.\"z.w\"]\nk = 1", ("x y", "z.w", "k"), 2),
        ("[[a]]\n[[a]]\n[[a.b]]\n[[a.b]]\nk = 1", ("a", 1, "b", 1, "k"), 5),
        ("[[a]]\n[a.c]\nk = 1\n[[a]]\n[a.c]\nk = 2", ("a", 1, "c", "k"), 6),
        ('t = """\nk = 1\n[x]\n"""\nk = 2', ("k",), 5),
        ("t = '''\nk = 1\n'''\r\nk = 2", ("k",), 4),
        ("c = [\n  # first\n  { n = 1 },\n\n  { n = 2 }, { n = 3 },\n  { n = 4 },\n]\nd = 1", ("c", 1), 5),
        ("c = [\n  # first\n  { n = 1 },\n\n  { n = 2 }, { n = 3 },\n  { n = 4 },\n]\nd = 1", ("c", 3, "n"), 6),
        ("c = [\n  { n = 1 },\n]\nd = 1", ("d",), 4),
        ("c = [\n  [1, 2],\n  [3],\n]", ("c", 1, 0), 1),
    ],
)
def test_keys_are_found_at_their_lines(text: str, path: tuple[str | int, ...], line: int) -> None:
    assert locator(text, "f.toml")(path).startswith(f"f.toml:{line}: ")


def test_a_path_that_is_nowhere_names_the_file() -> None:
    assert locator("a = 1", "f.toml")(("zz", 0)) == "f.toml: zz[0]"
    assert locator("a = 1", "f.toml")(()) == "f.toml"


def test_the_nearest_word_or_all_of_them() -> None:
    assert nearest("bod", ["baud", "port"]) == "did you mean 'baud'?"
    assert nearest("xxxx", ["port", "baud"]) == "known here: baud, port"
    assert nearest("xxxx", []) == "known here: none"
