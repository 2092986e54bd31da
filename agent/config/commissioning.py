"""What was learnt of a machine on this box: where its file lies, and whether it fits the bundle that watches the machine now."""

from __future__ import annotations

from pathlib import Path

from agent.config.checked import Commissioned
from agent.config.findings import Findings
from agent.config.schema import Machine
from agent.decide.commissioning import decode, digest_of, misfit
from agent.infer.bundle import Bundle
from agent.toml_structs import KeyPath

_LONGEST_BYTES = 4 * 1024 * 1024


def commissioning_file(state: Path, machine: str) -> Path:
    """Where the machine's file lies in the agent's state folder."""
    return state / "commissioning" / f"{machine}.json"


def read_commissioning(
    at: KeyPath, file: Path, machine: Machine, bundle: Bundle, findings: Findings
) -> tuple[Commissioned | None, str | None]:
    """What was learnt, or why it is not used; both None where nothing was. The machine is watched in any case."""
    try:
        with file.open("rb") as opened:
            data = opened.read(_LONGEST_BYTES + 1)
        what = decode(data)
        why = misfit(what, machine.id, bundle.digest, machine.channels)
    except FileNotFoundError:
        return None, None
    except OSError as error:
        why = f"{file} cannot be read: {error.strerror}"
    except ValueError as error:
        why = f"{file}: {error}"
    if why is None:
        return Commissioned(what, digest_of(data)), None
    findings.warn(
        at, f"the machine was commissioned, and that is not used: {why}", f"run `stethos commission {machine.id}`"
    )
    return None, why
