"""What the registry knows of a family: how it is built, what may be tuned, and what the shared checks hold it to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent.errors import ConfigError, Problem

if TYPE_CHECKING:  # a family's name and options must be known where torch is not installed
    from export.models.detector import Detector

Value = int | float | str


@dataclass(frozen=True, slots=True)
class Shape:
    """Of the windows: channels, cells of time, and cells a second; and how many kinds labels tell apart, normal operation among them."""

    channels: int
    window: int
    rate_hz: float
    kinds: int = 2


@dataclass(frozen=True, slots=True)
class Option:
    """One hyperparameter: its default, and where `stethos model tune` looks: `choices`, or from `low` to `high` (`log`: by decades).

    One that is not `searched` states a fact of the machine, which no score can choose.
    """

    default: Value
    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: tuple[Value, ...] = ()
    searched: bool = True

    def read(self, text: str, name: str) -> Value:
        """`text` as a value of the default's type and within the range; raises ConfigError that names the option."""
        try:
            value = type(self.default)(text)
        except ValueError as error:
            raise ConfigError([Problem(name, f"'{text}' is no {type(self.default).__name__}")]) from error
        if self.choices and value not in self.choices:
            raise ConfigError([Problem(name, f"'{text}' is none of {', '.join(map(str, self.choices))}")])
        if not isinstance(value, str) and not self._within(value):
            raise ConfigError([Problem(name, f"{text} is not within {self.low} to {self.high}")])
        return value

    def _within(self, value: float) -> bool:
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)


@dataclass(frozen=True, slots=True)
class Family:
    """One architecture. `build` takes the shape and every option by its name.

    `supervised`: learns from labels, and cannot be fitted without both kinds. `permutes`: channels in another order give the same score,
    and the same channel scores in that order.
    """

    name: str
    build: Callable[..., Detector]
    options: Mapping[str, Option] = field(default_factory=dict)
    supervised: bool = False
    permutes: bool = False

    def new(self, shape: Shape, chosen: Mapping[str, Value] | None = None) -> Detector:
        """An untrained model with the `chosen` options and the defaults of all others."""
        values = {name: option.default for name, option in self.options.items()}
        return self.build(shape, **(values | dict(chosen or {})))
