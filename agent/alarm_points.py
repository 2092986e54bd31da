"""What decides over a checked machine: its alarm points, its model's and one for each limit of its rules, and its yardstick."""

from __future__ import annotations

from functools import partial

from agent.config.checked import CheckedMachine, CheckedRule
from agent.decide.achieved import FalseAlarms
from agent.decide.adaptation import Adaptation
from agent.decide.alarm import MODEL
from agent.decide.commissioning import affine
from agent.decide.drift import DriftMonitor
from agent.decide.explanation import Explainer
from agent.decide.expression import Expression
from agent.decide.isa18 import Behaviour
from agent.decide.lasting import Evidence
from agent.decide.machine_alarms import MachineAlarms, RulePoint, Suppression
from agent.decide.point import AlarmPoint, PointRules
from agent.decide.rules import Rule, holds
from agent.decide.states import StateOf, by_condition, by_level
from agent.decide.yardstick import Affine, Yardstick, corrected


def alarms_of(machine: CheckedMachine, explainer: Explainer) -> MachineAlarms:
    """The machine's points in their first state."""
    contract, config = machine.bundle.manifest.contract, machine.config
    hop_ns = contract.hop * contract.period_ns
    model = PointRules(
        machine=machine.id,
        point=MODEL,
        priority=config.priority,
        on_delay_ns=machine.on_delay_ns,
        off_delay_ns=machine.off_delay_ns,
        hop_ns=hop_ns,
        count=config.count,
        behaviour=_behaviour(machine),
        budget_per_hour=machine.false_alarms_per_hour,
        guidance=config.guidance,
    )
    # Half of the budget is for lasting evidence, where it is known how that behaves.
    lasting = machine.calibration.lasting
    conditions = {MODEL: machine.suppress_when, **{rule.point: rule.suppress_when for rule in machine.rules}}
    return MachineAlarms(
        AlarmPoint(model),
        config.clear_factor,
        None if lasting is None else Evidence(lasting, machine.false_alarms_per_hour / 2, hop_ns),
        [_rule(rule, machine, explainer) for rule in machine.rules],
        {name: _suppression(condition, contract.rate_hz) for name, condition in conditions.items() if condition},
    )


def yardstick_of(machine: CheckedMachine) -> Yardstick:
    """What the machine's scores are held against: the bundle's word, or what was learnt on this box."""
    contract, learnt = machine.bundle.manifest.contract, machine.commissioned
    hop_ns = contract.hop * contract.period_ns
    window_ns = contract.window * contract.period_ns
    names, correction = machine.config.channels, None if learnt is None else affine(learnt.what.corrections)
    return Yardstick(
        overall=machine.calibration,
        false_alarms=FalseAlarms(machine.false_alarms_per_hour, hop_ns, machine.judged_by),
        drift=DriftMonitor(names, machine.baseline, machine.calibration, window_ns, machine.judged_by),
        hop_ns=hop_ns,
        correction=correction,
        state_of=state_of(machine, correction),
        calibrations=machine.calibrations,
        seen=None if learnt is None else learnt.what.states,
        adaptation=Adaptation(machine.calibration, hop_ns, machine.judged_by) if machine.adapts else None,
    )


def state_of(machine: CheckedMachine, correction: Affine | None) -> StateOf | None:
    """How the machine's operating state is told: as its configuration says, or its bundle; None where neither does."""
    manifest = machine.bundle.manifest
    if machine.states:
        return by_condition(machine.states, manifest.contract.rate_hz)
    if manifest.states is None:
        return None
    known = by_level(manifest.states.known)
    return lambda values: known(corrected(values, correction))


def _rule(rule: CheckedRule, machine: CheckedMachine, explainer: Explainer) -> RulePoint:
    contract = machine.bundle.manifest.contract
    rows = [explainer.names.index(channel) for channel in rule.expression.channels]
    side = "above" if rule.limit.side.startswith("high") else "below"
    what = f"{rule.expression.text} is {side} {rule.limit.level:g} {rule.config.unit}."
    rules = PointRules(
        machine=machine.id,
        point=rule.point,
        priority=rule.priority,
        on_delay_ns=rule.on_delay_ns,
        off_delay_ns=rule.off_delay_ns,
        hop_ns=contract.hop * contract.period_ns,
        count=rule.config.count,
        behaviour=_behaviour(machine),
        guidance=rule.config.guidance,
    )
    return RulePoint(
        Rule(rule.expression, rule.limit, rule.config.unit, contract.rate_hz, contract.hop),
        AlarmPoint(rules),
        lambda window: explainer.rule(window, rows, what),
    )


def _behaviour(machine: CheckedMachine) -> Behaviour:
    return Behaviour(acknowledge=machine.config.acknowledge, latch=machine.config.latch)


def _suppression(condition: Expression, rate_hz: float) -> Suppression:
    return Suppression(condition.text, partial(holds, condition, rate_hz=rate_hz))
