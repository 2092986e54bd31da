"""Arithmetic over a machine's channels, as an operator writes it: `[pump.pressure] - [pump.suction]`, `band([accel.x], 118, 122)`."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agent.decide.spectrum import band_rms

Float64Array = npt.NDArray[np.float64]
_LONGEST = 500
_DEEPEST = 100  # what is accepted is evaluated by as many calls within each other
_REFERENCE = re.compile(r"\[([^\[\]]+)\]")

_Node = Callable[["Cells"], "Float64Array | float"]


@dataclass(frozen=True, slots=True)
class Cells:
    """A window as expressions see it: values [channels, time], NaN where a cell is missing; time runs at `rate_hz`."""

    values: Float64Array
    rate_hz: float


def _rate(cells: Cells, x: Float64Array) -> float:
    """Slope of the least-squares line, a second."""
    t = (np.arange(len(x)) - (len(x) - 1) / 2) / cells.rate_hz
    return float((t * (x - x.mean())).sum() / (t * t).sum())


def _band(cells: Cells, x: Float64Array, low_hz: float, high_hz: float) -> float:
    return float(band_rms(x, cells.rate_hz, (low_hz, high_hz))[0])


# name: what it makes of a channel's cells, and how many numbers it takes beside them
_FUNCTIONS: Mapping[str, tuple[Callable[..., Float64Array | float], int]] = {
    "abs": (lambda _, x: np.abs(x), 0),
    "mean": (lambda _, x: float(x.mean()), 0),
    "min": (lambda _, x: float(x.min()), 0),
    "max": (lambda _, x: float(x.max()), 0),
    "span": (lambda _, x: float(x.max() - x.min()), 0),
    "std": (lambda _, x: float(x.std()), 0),
    "rms": (lambda _, x: float(np.sqrt((x * x).mean())), 0),
    "rate": (_rate, 0),
    "band": (_band, 2),
    "missing": (lambda _, x: float(np.isnan(x).mean()), 0),
}
_OPERATORS: Mapping[type[ast.AST], Callable[..., Float64Array | float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: np.divide,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
    ast.And: np.logical_and,
    ast.Or: np.logical_or,
    ast.Not: np.logical_not,
}


class Expression:
    """Parsed once, evaluated on every window. Comparisons, `and`, `or` and `not` give 1 or 0."""

    def __init__(self, text: str, channels: Sequence[str]) -> None:
        """`channels` are the names that may stand in brackets, in the order of the window's rows.

        Raises ValueError, which says what is not understood, for anything but arithmetic over them.
        """
        self.text = text
        if len(text) > _LONGEST:
            raise ValueError(f"an expression of {len(text)} characters is too long, {_LONGEST} is the most")
        self._rows = {name: row for row, name in enumerate(channels)}
        self._names: dict[str, str] = {}  # by placeholder
        bare = text.strip()
        source = _REFERENCE.sub(self._placeholder, f"[{bare}]" if bare in self._rows else text)
        try:
            tree = ast.parse(source.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise ValueError(f"'{text}' is no expression; write for example 'rms([DEVICE.CHANNEL]) / 2'") from error
        if _depth(tree) > _DEEPEST:
            raise ValueError(f"'{text}' is nested too deep")
        self._node = self._build(tree)
        if not self._names:
            raise ValueError(f"'{text}' names no channel; write one as [DEVICE.CHANNEL]")

    @property
    def channels(self) -> list[str]:
        """The channels that it reads, in the order of their naming."""
        return list(self._names.values())

    def __call__(self, cells: Cells) -> Float64Array | float:
        """Its value: one number, or one for each cell [time]; NaN where cells that it reads are missing."""
        with np.errstate(all="ignore"):
            value = self._node(cells)
        return np.asarray(value, np.float64) if np.ndim(value) else float(value)

    def _placeholder(self, match: re.Match[str]) -> str:
        name = match[1].strip()
        if name not in self._rows:
            raise ValueError(f"there is no channel '{name}' in this machine; it has {', '.join(self._rows)}")
        placeholder = f"c{self._rows[name]}"
        self._names[placeholder] = name
        return f" {placeholder} "

    def _build(self, node: ast.expr) -> _Node:
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
            return self._number(node.value)
        if isinstance(node, ast.Name) and node.id in self._names:
            row = self._rows[self._names[node.id]]
            return lambda cells: cells.values[row]
        if isinstance(node, ast.BinOp | ast.BoolOp | ast.UnaryOp) and type(node.op) in _OPERATORS:
            operands = {ast.BinOp: ["left", "right"], ast.UnaryOp: ["operand"]}.get(type(node), [])
            parts = [getattr(node, name) for name in operands] or node.values  # type: ignore[union-attr]
            return _joined(_OPERATORS[type(node.op)], [self._build(part) for part in parts])
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _OPERATORS:
            return _joined(_OPERATORS[type(node.ops[0])], [self._build(node.left), self._build(node.comparators[0])])
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
            return self._call(node.func.id, node.args)
        raise ValueError(
            f"'{ast.unparse(node)}' is not understood: use + - * / ( ), comparisons, and {', '.join(_FUNCTIONS)}"
        )

    def _number(self, value: float) -> _Node:
        try:
            number = float(value)
        except OverflowError as error:
            raise ValueError(f"a number of {len(str(value))} digits is too large") from error
        return lambda _: number

    def _call(self, name: str, arguments: Sequence[ast.expr]) -> _Node:
        if name not in _FUNCTIONS:
            raise ValueError(f"there is no function '{name}'; there are {', '.join(_FUNCTIONS)}")
        function, numbers = _FUNCTIONS[name]
        if len(arguments) != 1 + numbers:
            raise ValueError(f"{name}() takes {1 + numbers} arguments, not {len(arguments)}")
        if not all(isinstance(argument, ast.Constant) for argument in arguments[1:]):
            raise ValueError(f"{name}() takes plain numbers behind its first argument")
        parts = [self._build(argument) for argument in arguments]

        def call(cells: Cells) -> Float64Array | float:
            x, *others = (part(cells) for part in parts)
            cells_of_x = np.broadcast_to(np.asarray(x, np.float64), cells.values.shape[1:])
            if name != "missing" and np.isnan(cells_of_x).any():
                return float("nan")
            return function(cells, cells_of_x, *others)

        return call


def _depth(tree: ast.AST) -> int:
    """How many nodes lie one within another."""
    depth, level = 0, [tree]
    while level:
        depth, level = depth + 1, [child for node in level for child in ast.iter_child_nodes(node)]
    return depth


def _joined(function: Callable[..., Float64Array | float], parts: Sequence[_Node]) -> _Node:
    """`function` over the parts, left to right; a comparison with what is not known is not known."""

    def apply(cells: Cells) -> Float64Array | float:
        values = [part(cells) for part in parts]
        if len(values) == 1:
            return np.where(np.isnan(values[0]), np.nan, function(values[0]))
        total = values[0]
        for value in values[1:]:
            total = np.where(np.isnan(total) | np.isnan(value), np.nan, function(total, value))
        return total

    return apply
