"""Which execution provider each node of a loaded graph was given to: what a provider list alone does not say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.infer.providers import CPU

if TYPE_CHECKING:
    import onnxruntime as ort

RECORD = "session.record_ep_graph_assignment_info"  # the session option without which nothing can be read back


@dataclass(frozen=True, slots=True)
class Placement:
    """How many nodes each provider runs, and how many of which operator the CPU does.

    Copies between devices that ONNX Runtime adds later are no nodes of the model and are not counted.
    """

    nodes: Mapping[str, int]
    on_cpu: Mapping[str, int]

    @property
    def fallen(self) -> Mapping[str, int]:
        """Operators on the CPU although another provider runs the rest of the graph; empty where all is of one kind."""
        return self.on_cpu if set(self.nodes) - {CPU} else {}


def placement_of(assigned: Iterable[tuple[str, str]]) -> Placement:
    """Of (provider, operator) pairs, one for each node."""
    pairs = list(assigned)
    return Placement(
        dict(Counter(provider for provider, _ in pairs).most_common()),
        dict(Counter(operator for provider, operator in pairs if provider == CPU).most_common()),
    )


def read(session: ort.InferenceSession) -> Placement:
    """The placement of a session that was made with `RECORD` on."""
    return placement_of(
        (part.ep_name, node.op_type)
        for part in session.get_provider_graph_assignment_info()
        for node in part.get_nodes()
    )
