"""Whatever TOML an operator writes, the answer is a struct or problems, and every unknown key is among them."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.config.schema import Agent, Config, Device, Machine, Trust, Upstream
from agent.decode.profile import Profile
from agent.toml_structs import survey

BARE_KEY = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=12)
VALUE = st.recursive(
    st.one_of(
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(st.characters(exclude_categories=["C", "Z"]), max_size=8),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(BARE_KEY, inner, max_size=3),
    max_leaves=8,
)
MINIMAL = {
    "agent": {"id": "line-3"},
    "upstream": {"broker": "mqtt://localhost"},
    "trust": {"keys": ["a.pub"]},
    "device": [{"id": "a", "profile": "p"}],
    "machine": [{"id": "m", "bundle": "b.stethos", "channels": ["a.x"]}],
}
SECTIONS = {"agent": Agent, "upstream": Upstream, "trust": Trust, "device": Device, "machine": Machine}


def toml(value: object) -> str:
    """A value in TOML's inline syntax."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key} = {toml(item)}' for key, item in value.items())}}}"
    return str(value)


def document(tables: dict[str, object]) -> str:
    return "\n".join(f"{key} = {toml(value)}" for key, value in tables.items())


@given(st.text(max_size=200))
@example("a = " + "[" * 5_000)
@example("a = " + "9" * 5_000)
@example("[[agent]]\n[agent.x]\n[[device.a]]")
@example('agent = """\n[agent]\n"""')
@example("'a.b'.\"c\".d = 1")
def test_any_text_is_a_struct_or_problems(text: str) -> None:
    found = survey(text, "f.toml", Config)
    assert (found.value is None) <= bool(found.problems)


@pytest.mark.parametrize("kind", [Config, Profile])
@given(
    tables=st.dictionaries(
        st.one_of(BARE_KEY, st.sampled_from([*SECTIONS, "channel", "framing", "json"])), VALUE, max_size=6
    )
)
def test_any_values_are_a_struct_or_problems(kind: type[msgspec.Struct], tables: dict[str, object]) -> None:
    found = survey(document(tables), "f.toml", kind)
    assert (found.value is None) <= bool(found.problems)


@given(st.sampled_from(sorted(SECTIONS)), st.lists(BARE_KEY, min_size=1, max_size=5, unique=True), VALUE)
def test_every_unknown_key_is_named_and_the_rest_is_still_read(section: str, keys: list[str], value: object) -> None:
    unknown = [key for key in keys if key not in SECTIONS[section].__struct_fields__]
    table = MINIMAL[section]
    spoilt = {**(table[0] if isinstance(table, list) else table), **dict.fromkeys(unknown, value)}
    found = survey(document({**MINIMAL, section: [spoilt] if isinstance(table, list) else spoilt}), "f.toml", Config)
    assert [problem.what for problem in found.problems] == [f"unknown key '{key}'" for key in unknown]
    assert found.value is not None
    assert found.value.agent.id == "line-3"


@given(VALUE.filter(lambda value: not isinstance(value, dict)))
def test_a_password_in_the_place_of_a_table_is_never_repeated(value: object) -> None:
    spoilt = {
        "broker": "mqtt://localhost",
        "password": ["hunter2", value] if isinstance(value, list) else f"hunter2{value}",
    }
    found = survey(document({**MINIMAL, "upstream": spoilt}), "f.toml", Config)
    assert len(found.problems) == 1
    assert "hunter2" not in str(found.problems[0])
