"""`python -m tests.bench.gpu_families`: every family of models on an NVIDIA GPU, by what its bundle promises, into a file of figures.

It needs what `tests.bench.gpu` needs, and what training needs. Families are fitted in two epochs on noise of a fixed seed that channels share,
around levels up to ten thousand times their spread: what a GPU's shorter arithmetic would lose first.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
import torch  # noqa: F401 - first: it loads CUDA's libraries from wherever it was installed with

from agent.infer.golden import GoldenVectors
from agent.infer.session import Session
from agent.types import Float32Array
from export.bundle import ABSOLUTE_TOLERANCE, RELATIVE_TOLERANCE
from export.golden_windows import choose_samples
from export.models import FAMILIES
from tests.bench.figures import Figure, significant, this_host, update
from tests.bench.gpu import CHANNELS, ON_GPU, TIME, bundle_of, gpu_here, parser_of, short_name
from tests.harness.training import fitted, normal, with_faults

COMMAND = "python -m tests.bench.gpu_families"
_ANY = 1e9, 1e9  # the model runs whatever it gives, to be judged here
_GOAL = "<= 1"


def main(arguments: Sequence[str]) -> int:
    parser = parser_of(COMMAND, __doc__)
    parser.add_argument("--family", choices=sorted(FAMILIES), action="append", help="this one only; may be repeated")
    options = parser.parse_args(arguments)
    gpu = gpu_here()
    prefix = f"gpu_families.{options.name or short_name(gpu)}"
    found: list[Figure] = []
    for family in options.family or sorted(FAMILIES):
        found.append(Figure(f"{prefix}.{family}", *judge(family), _GOAL))
        print(f"  {found[-1].name} = {found[-1].value:g} {found[-1].unit} ({found[-1].against})", flush=True)
        update(options.out, "gpu_families", found, COMMAND, f"{gpu}, {this_host()}")
    print(f"written to {options.out}")
    return 0


def judge(family: str) -> tuple[float, str, str]:
    """The worst difference from PyTorch on the CPU as a share of what bundles allow, its unit, and how the model runs."""
    samples = with_faults(normal(CHANNELS, TIME, seed=1))
    windows = choose_samples(samples.values[samples.labels == 0], samples.values[samples.labels == 1])
    bundle = bundle_of(fitted(family, CHANNELS, TIME), family, windows, _ANY)
    session = Session(bundle, ON_GPU)
    worst = max(_worst(session, bundle.golden.resized(size)) for size in session.batch_sizes)
    sizes = ", ".join(map(str, session.batch_sizes))
    return significant(worst), "of the tolerance", f"batches of {sizes}; {_how_it_runs(session)}"


def _worst(session: Session, golden: GoldenVectors) -> float:
    """Of all windows at once."""
    found = session.score(golden.windows)
    return max(map(_share, found, (golden.score, golden.channel_score)))


def _share(got: Float32Array, promised: Float32Array) -> float:
    return float(np.max(np.abs(got - promised) / (ABSOLUTE_TOLERANCE + RELATIVE_TOLERANCE * np.abs(promised))))


def _how_it_runs(session: Session) -> str:
    nodes = ", ".join(f"{count} on {provider}" for provider, count in session.placement.nodes.items())
    graphs = "CUDA graphs in use" if session.captures else "no CUDA graphs"
    latency = "" if session.latency is None else f"; one window in {session.latency.median_ms:.2g} ms"
    return f"{nodes}; {graphs}{latency}"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
