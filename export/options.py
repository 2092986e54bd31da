"""`--set name=value` read against what a family, and training itself, can be told."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent.errors import ConfigError, Problem
from export import augment
from export.models import registered
from export.models.family import Family, Option, Shape, Value
from export.train import TRAINING

_USUAL = Shape(channels=4, window=64, rate_hz=64.0)


@dataclass(frozen=True, slots=True)
class Chosen:
    """The family's options and those of training, only what was said."""

    options: Mapping[str, Value]
    training: Mapping[str, Value]


def known(family: Family) -> dict[str, Option]:
    """Every option of `family`, and of training where it learns by gradient steps."""
    return dict(family.options) | (TRAINING if list(family.new(_USUAL).parameters()) else {})


def read(family_name: str, texts: Sequence[str]) -> Chosen:
    """`texts` of name=value; raises ConfigError with every problem: no such option, said twice, no number, out of range."""
    family = registered(family_name)
    there, values, problems = known(family), dict[str, Value](), list[Problem]()
    for text in texts:
        name, separator, value = (part.strip() for part in text.partition("="))
        where = f"--set {text}"
        if not separator:
            problems.append(Problem(where, "is no name=value", f"{family_name} knows {_names(there)}"))
        elif name not in there:
            problems.append(Problem(where, f"{family_name} has no option '{name}'", _nearest(name, there)))
        elif name in values:
            problems.append(Problem(where, f"'{name}' is set twice", "keep one"))
        else:
            try:
                values[name] = there[name].read(value, where)
            except ConfigError as error:
                problems += error.problems
    if problems:
        raise ConfigError(problems)
    return split(family, values)


def augmentations(family_name: str, text: str) -> tuple[str, ...]:
    """The names in `text`; raises ConfigError for one that does not exist, and for a family that takes no gradient steps."""
    names = augment.parse(text)
    if names and not TRAINING.keys() <= known(registered(family_name)).keys():
        what = f"{family_name} is fitted to the windows as they are, not by gradient steps"
        raise ConfigError([Problem("--augment", what, "leave it away")])
    return names


def split(family: Family, values: Mapping[str, Value]) -> Chosen:
    """`values` by whose they are."""
    return Chosen(
        {name: value for name, value in values.items() if name in family.options},
        {name: value for name, value in values.items() if name not in family.options},
    )


def describe(option: Option) -> str:
    """The default and the range, as `stethos model list` shows them."""
    where = ""
    if option.choices:
        where = f" of {', '.join(map(str, option.choices))}"
    elif option.low is not None and option.high is not None:
        where = f" in {option.low:g}..{option.high:g}"
    return f"{option.default}{where}"


def _names(there: Mapping[str, Option]) -> str:
    return ", ".join(sorted(there)) or "none"


def _nearest(name: str, there: Mapping[str, Option]) -> str:
    near = difflib.get_close_matches(name, there, 1)
    return f"did you mean '{near[0]}'?" if near else f"it knows {_names(there)}"
