"""Units: known pairs convert, the way back leads home, and what is no line is refused."""

from __future__ import annotations

import itertools

import pytest

from agent.decode.profile import Profile
from export import units
from tests.harness.profiles import shipped, shipped_names


@pytest.mark.parametrize(
    ("source", "target", "given", "expected"),
    [
        ("[degF]", "Cel", 212.0, 100.0),
        ("[degF]", "K", -459.67, 0.0),
        ("Cel", "[degF]", -40.0, -40.0),
        ("[psi]", "bar", 14.503773773, 1.0),
        ("mm[Hg]", "kPa", 760.0, 101.32472),
        ("[g]", "m/s2", 1.0, 9.80665),
        ("/min", "Hz", 3_000.0, 50.0),
        ("km/h", "m/s", 36.0, 10.0),
        ("[in_i]/s", "mm/s", 1.0, 25.4),
        ("[gal_us]/min", "L/min", 1.0, 3.785411784),
        ("m3/h", "L/s", 3.6, 1.0),
        ("deg/s", "rad/s", 180.0, 3.141592653589793),
        ("kW.h", "MJ", 1.0, 3.6),
        ("%", "1", 50.0, 0.5),
        ("[HP]", "kW", 1.0, 0.74569987158227022),
        ("[lbf_av]", "N", 1.0, 4.4482216152605),
    ],
)
def test_what_tables_say(source: str, target: str, given: float, expected: float) -> None:
    scale, offset = units.conversion(source, target)
    assert given * scale + offset == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_every_way_back_leads_home() -> None:
    for unit in ("Cel", "Pa", "m", "m3/s", "W", "kg/s", "m/s2", "rad/s", "J", "s", "A", "V"):
        for source, target in itertools.permutations(units.alike(unit), 2):
            scale, offset = units.conversion(source, target)
            back, back_offset = units.conversion(target, source)
            assert (7.0 * scale + offset) * back + back_offset == pytest.approx(7.0, rel=1e-9), (source, target)


def test_no_unit_is_in_two_dimensions() -> None:
    every = [unit for dimension in units._LINES.values() for unit in dimension]
    assert len(every) == len(set(every))


@pytest.mark.parametrize(("source", "target"), [("bar", "Cel"), ("parsec", "m"), ("A", "V")])
def test_what_is_no_line_is_refused(source: str, target: str) -> None:
    with pytest.raises(ValueError, match="cannot be converted"):
        units.conversion(source, target)


def test_a_unit_is_itself_even_where_it_is_not_known() -> None:
    assert units.conversion("/dL", "/dL") == (1.0, 0.0)


def test_the_units_of_the_shipped_profiles_are_known() -> None:
    profiles: list[Profile] = [shipped(name) for name in shipped_names()]
    unknown = {channel.unit for profile in profiles for channel in profile.channel if not units.alike(channel.unit)}
    assert unknown <= {"/dL"}  # a count of particles, which has no other unit in use
