"""Check a machine's rules: expressions over its own channels, limits in order, names that a topic and a command can carry."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from agent.config.checked import CheckedRule
from agent.config.findings import Findings
from agent.config.schema import Machine, Rule
from agent.decide.expression import Expression
from agent.decide.rules import SIDES, Limit
from agent.decide.states import UNKNOWN
from agent.toml_structs import KeyPath

_MOST_RULES = 200
_MOST_WINDOWS = 1_000


def check_rules(
    at: KeyPath, machine: Machine, channels: Sequence[str], findings: Findings
) -> tuple[tuple[CheckedRule, ...], Expression | None]:
    """The machine's rules, a limit each, and the condition that suppresses its model's alarm."""
    if len(machine.rule) > _MOST_RULES:
        findings.problem((*at, "rule"), f"{len(machine.rule)} rules are too many, {_MOST_RULES} is the most")
    _check_count((*at, "count"), machine.count, findings)
    names = [rule.name for rule in machine.rule]
    for index, name in enumerate(names):
        path = (*at, "rule", index, "name")
        findings.identifier(path, name)
        if name in names[:index]:
            findings.problem(path, f"the rule '{name}' is named twice", "give each rule of a machine its own")
    checked = [
        limit
        for index, rule in enumerate(machine.rule)
        for limit in _limits((*at, "rule", index), rule, channels, findings)
    ]
    return tuple(checked), _condition((*at, "suppress_when"), machine.suppress_when, channels, findings)


def check_states(
    at: KeyPath, machine: Machine, channels: Sequence[str], findings: Findings
) -> tuple[tuple[str, Expression], ...]:
    """The machine's operating states in the order in which they are tried."""
    names = [state.name for state in machine.state]
    found = []
    for index, state in enumerate(machine.state):
        path = (*at, "state", index)
        findings.identifier((*path, "name"), state.name)
        if state.name == UNKNOWN or state.name in names[:index]:
            what = f"'{state.name}' cannot be a state's name here"
            findings.problem((*path, "name"), what, f"give each its own, other than '{UNKNOWN}'")
        condition = _condition((*path, "when"), state.when, channels, findings)
        if condition is not None:
            found.append((state.name, condition))
    return tuple(found)


def _limits(at: KeyPath, rule: Rule, channels: Sequence[str], findings: Findings) -> Iterator[CheckedRule]:
    expression = findings.parsed((*at, "of"), rule.of, lambda text: Expression(text, channels))
    suppress_when = _condition((*at, "suppress_when"), rule.suppress_when, channels, findings)
    on_delay_ns = findings.duration_ns((*at, "on_delay"), rule.on_delay, "0s", "30d")
    off_delay_ns = findings.duration_ns((*at, "off_delay"), rule.off_delay, "0s", "30d")
    _check_count((*at, "count"), rule.count, findings)
    if rule.deadband < 0:
        findings.problem((*at, "deadband"), f"{rule.deadband} is below 0", "it is how far back the value must come")
    levels = {side: level for side in SIDES if (level := getattr(rule, side)) is not None}
    if not levels:
        findings.problem(at, f"the rule '{rule.name}' has no limit", "set one of high_high, high, low, low_low")
    descending = list(levels.values())
    if descending != sorted(descending, reverse=True):
        findings.problem(
            at, f"the limits of '{rule.name}' are out of order", "high_high is above high, above low, above low_low"
        )
    if expression is None:
        return
    for side, level in levels.items():
        yield CheckedRule(
            point=f"{rule.name}.{side}",
            config=rule,
            expression=expression,
            limit=Limit(side, level, rule.deadband),
            on_delay_ns=on_delay_ns,
            off_delay_ns=off_delay_ns,
            suppress_when=suppress_when,
        )


def _condition(at: KeyPath, text: str | None, channels: Sequence[str], findings: Findings) -> Expression | None:
    return None if text is None else findings.parsed(at, text, lambda given: Expression(given, channels))


def _check_count(at: KeyPath, count: tuple[int, int], findings: Findings) -> None:
    least, windows = count
    if not 1 <= least <= windows <= _MOST_WINDOWS:
        findings.problem(at, f"{list(count)} is no m of n windows", "write for example [3, 5]")
