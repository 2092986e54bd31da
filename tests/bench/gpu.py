"""`python -m tests.bench.gpu`: the inference stage on an NVIDIA GPU beside bare ONNX Runtime and PyTorch, into a file of figures.

It needs onnxruntime-gpu, torch with CUDA, onnx and onnxscript, and no network, broker or configuration. Models are of seeded weights:
a convolutional autoencoder and a Transformer for windows of 8 channels by 256 samples.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch  # first: it loads CUDA's libraries from wherever it was installed with

import onnxruntime as ort  # isort: skip

from agent.decide.calibration import Calibration
from agent.infer.bundle import Bundle
from agent.infer.golden import GoldenVectors
from agent.infer.loading import load
from agent.infer.manifest import SCHEMA, Golden, Manifest, Model, Provenance
from agent.infer.providers import CUDA
from agent.infer.session import Session
from agent.infer.settings import InferenceSettings
from agent.types import Float32Array
from agent.window.contract import Contract, ContractChannel
from export import to_onnx
from export.models import registered
from export.models.classifier import Classifier
from export.models.detector import Detector
from export.models.family import Shape
from export.train import run_model
from tests.bench.figures import Figure, significant, this_host, update
from tests.bench.rounds import Compared, alternate

ROOT = Path(__file__).resolve().parents[2]
COMMAND = "python -m tests.bench.gpu"
CHANNELS, TIME, RATE_HZ = 8, 256, 64.0
MODELS = {"conv": "conv-autoencoder", "transformer": "patch-transformer"}
BATCHES = (256, 1024)
ON_GPU = InferenceSettings(device="cuda", required=False)
_ROUNDS, _ROUND_S = 15, 0.2
_LATENCIES = 2_000
_GOLDEN = 32
_BATCHES_COMPARED = 4
# This measures speed: what the GPU's arithmetic changes is a figure of its own.
_TOLERANCES = 5e-2, 5e-2

Score = Callable[[Float32Array], object]


@dataclass(frozen=True, slots=True)
class Subject:
    """One model in both worlds; `name` goes into the figures' names."""

    name: str
    module: Detector
    bundle: Bundle


def main(arguments: Sequence[str]) -> int:
    parser = parser_of(COMMAND, __doc__)
    parser.add_argument("--model", choices=MODELS, action="append", help="this model only; may be repeated")
    options = parser.parse_args(arguments)
    gpu = gpu_here()
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    )  # for children
    prefix = f"gpu.{options.name or short_name(gpu)}"
    found: list[Figure] = []
    for name in options.model or MODELS:
        for figure in measure(subject(name)):
            found.append(replace(figure, name=f"{prefix}.{figure.name}"))
            print(f"  {found[-1].name} = {figure.value:g} {figure.unit} ({figure.against})", flush=True)
            update(options.out, "gpu", found, COMMAND, f"{gpu}, {this_host()}")
    print(f"written to {options.out}")
    return 0


def gpu_here() -> str:
    """Its name; ends the program where ONNX Runtime or PyTorch has none."""
    if CUDA not in ort.get_available_providers() or not torch.cuda.is_available():
        raise SystemExit(f"no CUDA here: ONNX Runtime has {ort.get_available_providers()}, torch {torch.__version__}")
    gpu = torch.cuda.get_device_name(0)
    print(f"{gpu}, onnxruntime {ort.__version__}, torch {torch.__version__}", flush=True)
    return gpu


def short_name(gpu: str) -> str:
    """The GPU as figures name it: "NVIDIA H100 80GB HBM3" as h100, "NVIDIA GeForce RTX 4090" as rtx4090."""
    words = re.sub(r"NVIDIA|GeForce|Quadro|Tesla", "", gpu).split()
    ends = words[:2] if words[0].upper() == "RTX" else words[:1]
    return re.sub(r"[^a-z0-9]", "", "".join(ends).lower())


def subject(name: str) -> Subject:
    """The model of seeded weights, and a bundle around its graph that nobody signed."""
    torch.manual_seed(0)
    family = registered(MODELS[name])
    module = family.build(
        Shape(CHANNELS, TIME, RATE_HZ), **{option: of.default for option, of in family.options.items()}
    ).eval()
    return Subject(name, module, bundle_of(module, MODELS[name], windows_of(_GOLDEN), _TOLERANCES))


def measure(of: Subject) -> Iterator[Figure]:
    """The stage against bare runs, one window's latency, throughput, and the same with PyTorch."""
    session = Session(of.bundle, ON_GPU)
    if session.provider != CUDA:
        raise RuntimeError(session.degraded)
    plain = Session(of.bundle, ON_GPU)
    plain._open(of.bundle, captures=False)
    plain._prove(of.bundle)
    yield _placement(of, session)
    yield _difference(of, session)
    yield from _latencies(of, session, plain)
    yield from _stage(of, session, plain)
    yield _exactness(of)
    yield from _isolated(of, session)
    yield from _torch_figures(of, session)


def _placement(of: Subject, session: Session) -> Figure:
    nodes = ", ".join(f"{count} on {provider}" for provider, count in session.placement.nodes.items())
    graphs = "CUDA graphs in use" if session.captures else "no CUDA graphs"
    return Figure(
        f"{of.name}_operators_on_cpu", float(sum(session.placement.fallen.values())), "", f"{nodes}; {graphs}", "0"
    )


def _difference(of: Subject, session: Session) -> Figure:
    """The worst of the scores against PyTorch's on the CPU, of batches that follow each other: none may see the last one's."""
    found, expected = [], []
    for windows in np.split(windows_of(_BATCHES_COMPARED * sum(BATCHES)), _BATCHES_COMPARED):
        found.append(session.score(windows)[0].copy())
        with torch.inference_mode():
            expected.append(of.module(torch.from_numpy(windows))[0].numpy())
    worst = float(np.max(np.abs(np.concatenate(found) / np.concatenate(expected) - 1)))
    against = f"scores of {sum(map(len, found)):,} windows against PyTorch on the CPU"
    return Figure(f"{of.name}_difference", significant(worst), "of the score", against, "<= 0.005")


def _latencies(of: Subject, session: Session, plain: Session) -> Iterator[Figure]:
    """One window from the host's memory to scores in the host's memory."""
    window = windows_of(1)
    found = {"graph": _times_ms(session.score, window), "plain": _times_ms(plain.score, window)}
    if not session.captures:
        del found["graph"]
    for kind, times in found.items():
        what = f"{_LATENCIES} single windows, {'with' if kind == 'graph' else 'without'} CUDA graphs"
        yield Figure(f"{of.name}_{kind}_p50", significant(float(np.quantile(times, 0.5))), "ms", what)
        yield Figure(f"{of.name}_{kind}_p99", significant(float(np.quantile(times, 0.99))), "ms", what)


def _stage(of: Subject, session: Session, plain: Session) -> Iterator[Figure]:
    """The stage, checks and all, against a bare run with memory bound on the GPU and the same copies there and back."""
    bare = _bare_session(of, tf32=False)
    for size in (1, *BATCHES):
        run = _bare_run(bare, size)
        for name, ours in (("stage", session), ("stage_plain", plain)):
            found = _compare(ours.score, run, windows_of(size))
            speeds = f"bare run with I/O binding, copies both ways: {found.bare:,.0f} windows/s, here {found.ours:,.0f}"
            yield Figure(f"{of.name}_{name}_{size}", significant(found.ratio), "of bare speed", speeds, ">= 0.9")
            if name == "stage" and size > 1:
                yield Figure(
                    f"{of.name}_rate_{size}", significant(found.ours), "windows/s", "from and to the host's memory"
                )


def _isolated(of: Subject, session: Session) -> Iterator[Figure]:
    """The same in a process of its own."""
    isolated = load(of.bundle, replace(ON_GPU, isolate=True))
    try:
        found = _compare(isolated.score, session.score, windows_of(BATCHES[0]))
        speeds = f"in this process: {found.bare:,.0f} windows/s, in its own {found.ours:,.0f}"
        yield Figure(f"{of.name}_isolated_{BATCHES[0]}", significant(found.ratio), "of its speed", speeds)
    finally:
        isolated.close()


def _torch_figures(of: Subject, session: Session) -> Iterator[Figure]:
    """PyTorch as it comes, eager and compiled, on the same GPU, from and to the host's memory as well."""
    module = of.module.to("cuda")
    kinds: dict[str, Callable[[], torch.nn.Module]] = {
        "eager": lambda: module,
        "compiled": lambda: torch.compile(module),  # type: ignore[return-value]
        "compiled_graph": lambda: torch.compile(module, mode="reduce-overhead"),  # type: ignore[return-value]
    }
    for kind, make in kinds.items():
        try:
            score = _torch_score(make())
            yield from _torch_kind(of, session, kind, score)
        except Exception as error:  # a compiler that is missing takes only its own figures with it
            print(f"  {of.name}: PyTorch {kind} does not run here: {str(error).splitlines()[0][:200]}", flush=True)
    of.module.to("cpu")


def _torch_kind(of: Subject, session: Session, kind: str, score: Score) -> Iterator[Figure]:
    window = windows_of(1)
    times = _times_ms(score, window)
    yield Figure(f"{of.name}_torch_{kind}_p50", significant(float(np.quantile(times, 0.5))), "ms", "single windows")
    for size in BATCHES:
        found = _compare(session.score, score, windows_of(size))
        speeds = f"PyTorch {torch.__version__} {kind}: {found.bare:,.0f} windows/s, here {found.ours:,.0f}"
        yield Figure(f"{of.name}_against_{kind}_{size}", significant(found.ratio), "times its speed", speeds)


def _torch_score(module: torch.nn.Module) -> Score:
    def score(windows: Float32Array) -> tuple[Float32Array, Float32Array]:
        with torch.inference_mode():
            outputs = module(torch.from_numpy(windows).to("cuda"))
            score, channel_score = (output.cpu().numpy() for output in outputs[:2])
        return score, channel_score

    return score


def _exactness(of: Subject) -> Figure:
    """What it costs not to use TF32, where it costs most."""
    size = BATCHES[-1]
    exact, tf32 = (_bare_run(_bare_session(of, tf32=tf32), size) for tf32 in (False, True))
    found = _compare(exact, tf32, windows_of(size))
    speeds = f"bare run with TF32: {found.bare:,.0f} windows/s, without {found.ours:,.0f}"
    return Figure(f"{of.name}_exact_{size}", significant(found.ratio), "of its speed", speeds)


def _bare_session(of: Subject, *, tf32: bool) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return ort.InferenceSession(of.bundle.model, options, providers=[(CUDA, {"use_tf32": str(int(tf32))})])


def _bare_run(session: ort.InferenceSession, size: int) -> Score:
    """`run_with_iobinding` and what it takes to use it: windows copied to the GPU before, scores copied back after."""
    shapes = {"window": (size, CHANNELS, TIME), "score": (size,), "channel_score": (size, CHANNELS)}
    values = {
        name: ort.OrtValue.ortvalue_from_shape_and_type(shape, np.float32, "cuda", 0) for name, shape in shapes.items()
    }
    bound = session.io_binding()
    bound.bind_ortvalue_input("window", values["window"])
    for name in ("score", "channel_score"):
        bound.bind_ortvalue_output(name, values[name])

    def run(windows: Float32Array) -> tuple[Float32Array, Float32Array]:
        values["window"].update_inplace(windows)
        session.run_with_iobinding(bound)
        return values["score"].numpy(), values["channel_score"].numpy()

    return run


def windows_of(size: int) -> Float32Array:
    """Noise of a fixed seed, [size, channels, time]."""
    return np.random.default_rng(size).standard_normal((size, CHANNELS, TIME), np.float32)


def _times_ms(score: Score, window: Float32Array) -> Float32Array:
    for _ in range(_LATENCIES // 10):
        score(window)
    times = np.empty(_LATENCIES, np.float32)
    for index in range(_LATENCIES):
        started = time.perf_counter()
        score(window)
        times[index] = (time.perf_counter() - started) * 1e3
    return times


def _compare(ours: Score, theirs: Score, windows: Float32Array) -> Compared:
    """Windows a second of both, in turns."""
    return alternate(lambda: _rate(ours, windows), lambda: _rate(theirs, windows), _ROUNDS)


def _rate(score: Score, windows: Float32Array) -> float:
    """Windows a second over one round."""
    calls, started = 0, time.perf_counter()
    while (taken := time.perf_counter() - started) < _ROUND_S:
        score(windows)
        calls += 1
    return calls * len(windows) / taken


def bundle_of(module: Detector, family: str, windows: Float32Array, tolerances: tuple[float, float]) -> Bundle:
    """`module`'s graph, promised to give what PyTorch gives here for `windows` [n, CHANNELS, TIME], within (relative, absolute) tolerances."""
    graph = to_onnx.convert(module, CHANNELS, TIME)
    kinds = ["normal", "fault"] if isinstance(module, Classifier) else []
    contract = Contract(
        channels=[ContractChannel(name=f"c{number}", unit="1") for number in range(CHANNELS)],
        rate_hz=RATE_HZ,
        window=TIME,
        hop=TIME,
    )
    manifest = Manifest(
        schema=SCHEMA,
        name=family,
        version="0.0.0",
        counter=1,
        model=Model(family=family, parameters=graph.parameters, opset=graph.opset, kinds=kinds),
        contract=contract,
        calibration=Calibration(
            threshold=1.0,
            rate_per_hour=1.0,
            shape=0.0,
            scale=1.0,
            body_scores=[0.0],
            body_rates=[1.0],
            hours=1.0,
            clusters=1,
        ),
        channel_usual=[1.0] * CHANNELS,
        golden=Golden(windows=len(windows), relative_tolerance=tolerances[0], absolute_tolerance=tolerances[1]),
        provenance=Provenance(
            data_sha256="0" * 64, stethos_version="0", created="2026-01-01T00:00:00+00:00", seed=0, metrics={}
        ),
    )
    golden = GoldenVectors(windows, *run_model(module, windows))
    return Bundle(manifest, graph.data, golden, digest="0" * 64, signers=("nobody",))


def parser_of(command: str, doc: str | None) -> argparse.ArgumentParser:
    """What every benchmark on a GPU can be told."""
    parser = argparse.ArgumentParser(prog=command, description=doc.splitlines()[0] if doc else None)
    folder = os.environ.get("OUT")
    default = Path(folder) / "gpu-figures.json" if folder else ROOT / "docs" / "figures.json"
    parser.add_argument("--out", type=Path, default=default, help=f"file of figures; {default} where absent")
    parser.add_argument("--name", help="the GPU's name in the figures, as in h100; from CUDA where absent")
    return parser


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
