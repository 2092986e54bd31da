"""`python -m agent.infer.child`: the process that a model runs in where `isolate = true`; it lives as long as its parent listens."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import sys
import threading
from dataclasses import replace

from agent.errors import BundleError, DeadlineError, InferenceError
from agent.infer.bundle import Bundle
from agent.infer.isolation import Done, Failed, Ready, Refused, Run, SharedBatch, Stop, hear_request, shortened, tell
from agent.infer.loading import load
from agent.infer.session import Session
from agent.infer.settings import InferenceSettings

_AT_ONCE = 1 << 62  # a time by which any run is overdue


def main(arguments: list[str]) -> int:
    """Load what is described behind the first descriptor, then serve runs until the parent is gone.

    Descriptors: what to load, the shared memory, the socket of runs, the socket on which runs are stopped.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # the parent drains first; its end is ours
    job, memory, runs, stops = map(int, arguments)
    with os.fdopen(job, "rb") as file:
        bundle, settings = pickle.load(file)  # noqa: S301 - from our own parent, over an inherited descriptor
    with socket.socket(fileno=runs) as link, socket.socket(fileno=stops) as control:
        stopper = _Stopper(control)
        try:
            session = _load(bundle, settings)
        except (BundleError, InferenceError) as error:
            tell(link, Refused("bundle" if isinstance(error, BundleError) else "inference", shortened(error)))
            return 1
        stopper.session = session
        contract = bundle.manifest.contract
        _serve(session, link, SharedBatch(len(contract.channels), contract.window, memory), stopper)
    return 0


def _load(bundle: Bundle, settings: InferenceSettings) -> Session:
    session = load(bundle, replace(settings, isolate=False))
    assert isinstance(session, Session)
    return session


def _serve(session: Session, link: socket.socket, memory: SharedBatch, stopper: _Stopper) -> None:
    tell(
        link,
        Ready(
            session.provider,
            session.degraded,
            session.placement,
            session.latency,
            session.variant,
            session.tuning,
            session.batch_sizes,
        ),
    )
    while isinstance(run := hear_request(link), Run):
        stopper.number = run.number
        score, channel_score = memory.outputs(run.count)
        try:
            score[:], channel_score[:] = session.score(memory.windows[: run.count])
        except InferenceError as error:
            tell(link, Failed(shortened(error), isinstance(error, DeadlineError)))
        else:
            tell(link, Done())


class _Stopper:
    """A thread that ends the process with its parent, and stops the run that the parent finds overdue."""

    def __init__(self, control: socket.socket) -> None:
        self.session: Session | None = None
        self.number = 0  # of the run in progress
        self._control = control
        threading.Thread(target=self._run, name="stopper", daemon=True).start()

    def _run(self) -> None:
        while isinstance(stop := hear_request(self._control), Stop):
            if self.session is not None and stop.number == self.number:
                self.session.enforce_deadline(_AT_ONCE)
        os._exit(0)  # nothing here outlives the parent, a run that is stuck least of all


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
