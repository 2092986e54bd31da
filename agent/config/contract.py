"""Check that a machine's channels are what its model was trained on: names, order, units and rate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from agent.config.checked import ChannelRef
from agent.config.findings import Findings
from agent.decode.profile import Profile
from agent.toml_structs import KeyPath
from agent.window.contract import Contract

# Nominal rates of real devices are rounded; a clock this far off is no other rate.
_RATE_TOLERANCE = 0.95


def check_contract(
    at: KeyPath, contract: Contract, refs: Sequence[ChannelRef], profiles: Mapping[str, Profile], findings: Findings
) -> None:
    """Note every way in which `refs` (the key `at`) differ from `contract`."""
    if not _check_names(at, contract.names, refs, findings):
        return
    for index, (ref, wanted) in enumerate(zip(refs, contract.channels, strict=True)):
        unit = profiles[ref.device].channel[ref.column].unit
        if unit != wanted.unit:
            what = f"'{_spell(ref)}' is in '{unit}', the model was trained on '{wanted.unit}'"
            findings.problem((*at, index), what, "convert it in the profile (scale and unit), or train again")
    for device in dict.fromkeys(ref.device for ref in refs):
        _check_rate(at, contract, device, profiles[device].rate_hz, findings)


def _check_names(at: KeyPath, wanted: Sequence[str], refs: Sequence[ChannelRef], findings: Findings) -> bool:
    """A channel is meant by its own name, or by DEVICE.CHANNEL where the model was trained on several devices."""
    if len(refs) == len(wanted) and all(map(_fits, refs, wanted)):
        return True
    given = [_spell(ref) for ref in refs]
    in_order = [next((ref for ref in refs if _fits(ref, name)), None) for name in wanted]
    lacking = [name for name, ref in zip(wanted, in_order, strict=True) if ref is None]
    spare = [_spell(ref) for ref in refs if not any(_fits(ref, name) for name in wanted)]
    if len(refs) == len(wanted) and not lacking and not spare:
        right = ", ".join(f'"{_spell(ref)}"' for ref in in_order if ref is not None)
        findings.problem(at, "the channels are not in the order of the model's contract", f"write channels = [{right}]")
        return False
    parts = [f"lacks {', '.join(lacking)}" if lacking else "", f"has no use for {', '.join(spare)}" if spare else ""]
    said = " and ".join(part for part in parts if part) or f"takes each channel once, found {', '.join(given)}"
    findings.problem(at, f"the model {said}", f"it was trained on {', '.join(wanted)}, in this order")
    return False


def _check_rate(at: KeyPath, contract: Contract, device: str, rate_hz: float, findings: Findings) -> None:
    """Each cell of the model's grid needs a sample, or an earlier one that the contract allows to hold."""
    cells = contract.rate_hz / rate_hz  # from one sample to the next
    if cells <= 1 or math.ceil(cells) - 1 <= contract.hold_cells:
        return
    what = f"the device '{device}' samples at {rate_hz:g} Hz, the model needs {contract.rate_hz:g} Hz"
    if cells > 1 / _RATE_TOLERANCE:
        findings.problem(at, what, "make the device faster, or train a model for its rate")
    else:
        every = round(cells / (cells - 1))
        findings.warn(
            at, f"{what}; one cell in {every} will be empty", "train a model that may hold values (hold_cells)"
        )


def _fits(ref: ChannelRef, wanted: str) -> bool:
    return wanted in {ref.channel, _spell(ref)}


def _spell(ref: ChannelRef) -> str:
    return f"{ref.device}.{ref.channel}"
