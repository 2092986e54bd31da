"""Makes ONNX Runtime sessions: their options, the providers asked for, and the check that a graph is a Stethos model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from agent.errors import BundleError, InferenceError
from agent.infer import placement, plugins
from agent.infer.providers import CPU, CUDA

_LOAD_ERRORS = (
    ort_errors.EPFail,
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NoModel,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)

ProviderOptions = Mapping[str, Mapping[str, str]]  # by provider
# TF32 keeps 10 bits of each factor, which took families to the edge of their golden tolerance on an H100; 23 cost no more than a twentieth.
_ALWAYS: ProviderOptions = {CUDA: {"use_tf32": "0"}}


def open_session(
    model: bytes, asked: Sequence[str], threads: int, provider_options: ProviderOptions
) -> ort.InferenceSession:
    """A session of `model` on the providers `asked` for, best first, and on no other unless the CPU is among them.

    Raises BundleError where ONNX Runtime cannot load the graph, InferenceError where the providers asked for alone cannot run it.
    """
    options = _session_options(threads)
    plugins.preload(asked)
    if CPU not in asked:
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    try:
        session = _open(model, asked, options, provider_options)
    except _LOAD_ERRORS as error:
        if CPU not in asked:
            raise InferenceError(f"{asked[0]} is required and cannot run this model: {error}") from error
        raise BundleError(f"ONNX Runtime {ort.__version__} cannot load model.onnx: {error}; export it again") from error
    session.disable_fallback()  # else a provider that fails in a run is replaced by the CPU, and only stdout is told
    return session


def check_signature(session: ort.InferenceSession, channels: int, time: int, kinds: int) -> None:
    """Raise BundleError for other names, element types or fixed dimensions than promised; the batch dimension is free."""
    promised = {"window": [channels, time], "score": [], "channel_score": [channels]}
    if kinds:
        promised["class_probability"] = [kinds]
    found = {value.name: value for value in [*session.get_inputs(), *session.get_outputs()]}
    if set(found) != set(promised):
        raise BundleError(f"model.onnx has {sorted(found)}, a Stethos model has {sorted(promised)}; export it again")
    for name, shape in promised.items():
        value = found[name]
        batch, *rest = value.shape or [None]
        if value.type != "tensor(float)" or isinstance(batch, int) or rest != shape:
            raise BundleError(
                f"model.onnx: {name} is {value.type} {value.shape}, must be tensor(float) ['batch', {str(shape)[1:-1]}]; "
                "export it again from a contract with these channels and this window"
            )


def _session_options(threads: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3  # errors; its warnings go to stderr past our log
    # A spinning pool burns a whole core at 50 windows a second.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.add_session_config_entry(placement.RECORD, "1")
    return options


def _open(
    model: bytes, asked: Sequence[str], options: ort.SessionOptions, provider_options: ProviderOptions
) -> ort.InferenceSession:
    """A plug-in is given to the session as the devices that it offers; ONNX Runtime then adds the CPU by itself."""
    built_in = set(ort.get_available_providers())
    given = {name: {**_ALWAYS.get(name, {}), **provider_options.get(name, {})} for name in asked}
    if asked[0] in built_in:
        named = [(name, given[name]) for name in asked if name in built_in]
        return ort.InferenceSession(model, options, providers=named)
    for name in asked:
        if name not in built_in:
            options.add_provider_for_devices(plugins.devices(name), given[name])
        elif name != CPU:
            options.add_provider(name, given[name])
    return ort.InferenceSession(model, options)
