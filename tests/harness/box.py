"""A box without a broker and without ports: the real store, pipeline, sessions and rollout, fed with batches by hand."""

from __future__ import annotations

import contextlib
import json
import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import msgspec
import numpy as np

from agent.assembly import Bundles, bundles_of, composer_of, pipeline_of
from agent.bundles.store import locked_store, running_store
from agent.clock import SystemClock
from agent.commands.catalogue import COMMANDS
from agent.commands.dispatcher import Wish
from agent.config.check import check
from agent.config.partial import check_for_bundles
from agent.pipeline.pipeline import Pipeline
from agent.rollout.offline import Offline
from agent.rollout.telling import Teller
from agent.types import Batch, Commit, TimeQuality
from agent.upstream.topics import Topics
from tests.harness import small_plant
from tests.harness.agent_folder import contract, energy_bundle
from tests.harness.broker import PATIENCE_S, wait_until

RATE_HZ = 100
STEP_NS = 1_000_000_000 // RATE_HZ
PROFILE = """
maker = "Test"
model = "node"
source = "this test"
transport = "mqtt"
rate_hz = 100.0
silent_after_s = 60.0
framing = { kind = "message" }
time = { kind = "device", field = "t", unit = "ns" }
channel = [{ name = "x", unit = "[g]" }, { name = "y", unit = "[g]" }]
json = { fields = { t = "t", x = "x", y = "y" } }
"""
CONTRACT = contract(("x", "[g]"), ("y", "[g]"))


def bundle(version: int, **changes: Any) -> bytes:
    """Release `version` of the bundle "pump": the energy model."""
    return energy_bundle(changes.pop("contract", CONTRACT), version=f"{version}.0", counter=version, **changes)


class Box:
    """A folder with a configuration whose two machines are watched by "pump" of the store; release 1 runs."""

    def __init__(self, folder: Path, *tables: str, first: bytes | None = None) -> None:
        self.folder = folder
        (folder / "firmware_configs").mkdir()
        (folder / "firmware_configs" / "node.toml").write_text(PROFILE)
        place = 'mqtt = { broker = "mqtt://127.0.0.1", topic = "plant/node" }'
        self.config = small_plant.write(
            folder,
            "mqtt://127.0.0.1:1883",
            small_plant.device("node", "node", place),
            *(small_plant.machine(name, "pump", ["node.x", "node.y"]) for name in ("one", "two")),
            *tables,
        )
        self.offline(lambda store: store.install(self.file(first or bundle(1))))
        with locked_store(folder / "state") as store:
            store.note([])  # what begins here is the test's own story

    def file(self, data: bytes, name: str = "release.stethos") -> Path:
        (self.folder / name).write_bytes(data)
        return self.folder / name

    def offline(self, change: Callable[[Offline], object]) -> None:
        """What the command line does while no agent runs."""
        desk = check_for_bundles(self.config)
        with locked_store(desk.state) as store:
            change(Offline(store, desk.prover, "Meier"))

    @contextlib.contextmanager
    def running(self) -> Iterator[Running]:
        """The agent runs; what ends it here is a stop in good order."""
        loaded = check_for_bundles(self.config)
        with running_store(loaded.state, 3) as store, Running(self, store) as running:
            yield running


class Running:
    """One run of the agent: the pipeline's thread does what it is given, and serves exchanges in between."""

    def __init__(self, box: Box, store: Any) -> None:
        self.checked = check(box.config, list)
        self.commits: list[Commit] = []
        self.answers: list[Any] = []
        composer = composer_of(Topics("stethos", "line-3"), "boot", self.checked.machines)
        profiles = {device.id: device.profile for device in self.checked.devices.values()}
        self.pipeline: Pipeline = pipeline_of(profiles, self.checked.machines, composer)
        self.bundles: Bundles = bundles_of(
            self.checked,
            store,
            Teller(composer, self._submit, SystemClock()),
            exchanged=lambda machine: None,
            failed_steps=lambda: self.pipeline.counters["failed_steps"],
            clock=SystemClock(),
        )
        self.pipeline.watch = self.bundles.observing.look
        self.sent = 0
        self._random = np.random.default_rng(5)
        self._jobs: queue.Queue[Callable[[], Commit]] = queue.Queue()
        self._stop = threading.Event()
        bodies = (lambda _: self._run(), self.bundles.rollout.run, self.bundles.shadows.run)
        self._threads = [threading.Thread(target=body, args=(self._stop,), daemon=True) for body in bodies]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        wait_until(lambda: "pump" in self.bundles.rollout.status.bundles, PATIENCE_S, "the rollout begins")
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive()

    def feed(self, seconds: float, level: float = 1.0) -> None:
        """Samples as the node sends them, in batches of ten, taken through the pipeline before this returns."""
        readings = level * self._random.standard_normal((round(seconds * RATE_HZ), 2)).astype(np.float32)
        for start in range(0, len(readings), 10):
            part = readings[start : start + 10]
            t_ns = 1_760_000_000_000_000_000 + np.arange(self.sent, self.sent + len(part)) * STEP_NS
            self.sent += len(part)
            batch = Batch("node", t_ns, part, np.zeros(part.shape, np.uint8), TimeQuality.DEVICE)
            self._jobs.put(lambda batch=batch: self.pipeline.advance([batch]))
        self._jobs.join()

    def ask(self, command: str, **fields: Any) -> Any:
        """What `command` answers: a report, or the reason of a refusal as text."""
        found: queue.Queue[Any] = queue.Queue()
        arguments = msgspec.convert({"by": "Meier", **fields}, COMMANDS[command].arguments)
        record = {"command": command, "by": "Meier", "time_ns": 1}
        assert self.bundles.rollout.wishes.submit(Wish(command, arguments, record, found.put, found.put))
        return found.get(timeout=PATIENCE_S)

    @property
    def report(self) -> Any:
        """How "pump" stands now."""
        return self.bundles.rollout.status.bundles["pump"]

    @property
    def security(self) -> list[dict[str, Any]]:
        """What was said on the security topic."""
        messages = [message for commit in self.commits for message in commit.messages]
        return [json.loads(each.payload) for each in messages if each.topic.endswith("/security")]

    @property
    def events(self) -> list[str]:
        return [body["event"] for body in self.security]

    def wait_events(self, *expected: str) -> None:
        """Until these were told last: what was done shows in the report before it is told."""
        wait_until(
            lambda: self.events[-len(expected) :] == list(expected), PATIENCE_S, f"{expected}, not {self.events}"
        )

    def books(self) -> dict[str, tuple[int, int]]:
        """By stage, what entered and what is missing."""
        return {stage: (books.entered, books.missing) for stage, books in self.pipeline.report().flow.items()}

    def _submit(self, commit: Commit) -> None:
        self.commits.append(commit)
        for answer in commit.answers:
            answer()

    def _run(self) -> None:
        while not self._stop.is_set():
            commit = self.bundles.handover.serve(self.pipeline.exchange)
            if commit is not None:
                self.commits.append(commit)
            try:
                job = self._jobs.get(timeout=0.01)
            except queue.Empty:
                continue
            self.commits.append(job())
            self._jobs.task_done()
