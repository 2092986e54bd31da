"""Bound memory gives what a plain run gives, run after run, on each kind of provider that there is a binding for."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest

from agent.errors import InferenceError
from agent.infer.binding import Binding, DeviceBinding, HostBinding, bind, run_options
from tests.harness.bundles import CHANNELS, TIME, energy_model

SIZE = 5


class Elsewhere:
    """A session that says it runs on another provider, whose inputs are copied when they are bound."""

    def __init__(self, session: ort.InferenceSession) -> None:
        self._session = session
        self.bound = 0

    def get_providers(self) -> list[str]:
        return ["OpenVINOExecutionProvider", "CPUExecutionProvider"]

    def io_binding(self) -> Counted:
        return Counted(self._session.io_binding(), self)

    def run_with_iobinding(self, bound: Counted, options: ort.RunOptions) -> None:
        self._session.run_with_iobinding(bound.real, options)


class Counted:
    """Counts how often an input is bound."""

    def __init__(self, real: ort.IOBinding, session: Elsewhere) -> None:
        self.real = real
        self._session = session

    def bind_cpu_input(self, name: str, array: np.ndarray) -> None:
        self._session.bound += 1
        self.real.bind_cpu_input(name, array.copy())

    def bind_output(self, *given: object) -> None:
        self.real.bind_output(*given)


@pytest.fixture
def session() -> ort.InferenceSession:
    return ort.InferenceSession(energy_model(), providers=["CPUExecutionProvider"])


def windows(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(SIZE, CHANNELS, TIME)).astype(np.float32)


def check(binding: Binding) -> None:
    for seed in range(3):
        given = windows(seed)
        score, channel_score = binding.run(given, run_options(None))
        np.testing.assert_allclose(channel_score, np.square(given).mean(axis=2), rtol=1e-5)
        np.testing.assert_allclose(score, channel_score.max(axis=1))


def test_in_the_hosts_memory_the_processor_works_in_place(session: ort.InferenceSession) -> None:
    binding = bind(session, SIZE, CHANNELS, TIME)
    assert isinstance(binding, HostBinding)
    check(binding)


def test_in_a_devices_memory_at_fixed_addresses(session: ort.InferenceSession) -> None:
    check(DeviceBinding(session, SIZE, CHANNELS, TIME, device="cpu"))


def test_strided_windows_reach_a_device(session: ort.InferenceSession) -> None:
    given = np.repeat(windows(4), 2, axis=2)[:, :, ::2]
    _, channel_score = DeviceBinding(session, SIZE, CHANNELS, TIME, device="cpu").run(given, run_options(None))
    np.testing.assert_allclose(channel_score, np.square(given).mean(axis=2), rtol=1e-5)


def test_a_provider_that_copies_what_is_bound_is_bound_to_anew_for_each_run(session: ort.InferenceSession) -> None:
    elsewhere = Elsewhere(session)
    check(bind(elsewhere, SIZE, CHANNELS, TIME))
    assert elsewhere.bound == 1 + 3


@pytest.mark.parametrize("kind", [HostBinding, DeviceBinding])
def test_windows_that_are_not_finite_leave_nothing_behind(session: ort.InferenceSession, kind: type[Binding]) -> None:
    given = {"device": "cpu"} if kind is DeviceBinding else {}
    binding = kind(session, SIZE, CHANNELS, TIME, **given)
    with pytest.raises(InferenceError, match="must be unknown instead"):
        binding.run(np.full((SIZE, CHANNELS, TIME), np.nan, np.float32), run_options(None))
    check(binding)


def test_a_run_is_waited_for_unless_it_is_only_to_be_queued() -> None:
    assert run_options(None, only_queue=True).get_run_config_entry("disable_synchronize_execution_providers") == "1"
    with pytest.raises(RuntimeError):
        run_options(64).get_run_config_entry("disable_synchronize_execution_providers")


def test_a_run_names_the_graph_of_its_size_or_that_there_is_none() -> None:
    assert run_options(None).get_run_config_entry("gpu_graph_id") == "-1"
    assert run_options(64).get_run_config_entry("gpu_graph_id") == "64"
