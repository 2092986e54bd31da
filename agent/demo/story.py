"""The demo from data to alarm: real data, real device port, real daemon, real broker; true only if the alarm came in time."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from agent.config.profiles import read_profile
from agent.decide.alarm import AlarmEvent
from agent.decode.encode import Encoder
from agent.decode.profile import Profile
from agent.demo import tennessee
from agent.demo.broker import embedded_broker
from agent.demo.consumer import Consumer, Heard
from agent.demo.daemon import Daemon
from agent.demo.device import SimulatedDevice
from agent.demo.files import AGENT, MACHINE, PROFILE, STATE, Model, write_agent
from agent.demo.model import committed_model, stethos, train_model
from agent.demo.screen import Screen
from agent.errors import StethosError
from agent.types import Float32Array

_ROWS_PER_S = 60.0
_READY_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 15.0
# After the last row the daemon may still have a window to judge and a message to deliver.
_SETTLE_S = 2.0


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says; `broker` is host and port of a real one, `out` the folder for everything written."""

    out: Path
    train: bool
    fault: int
    broker: tuple[str, int] | None


@dataclass(slots=True)
class Outcome:
    """What the consumer heard, against the instant at which the fault began."""

    onset_ns: int
    early: list[AlarmEvent] = field(default_factory=list)
    first: AlarmEvent | None = None
    summaries: int = 0

    def hear(self, heard: Heard, screen: Screen) -> None:
        """Take in one message, and show it if it is an alarm."""
        self.summaries += heard.topic == f"machine/{MACHINE}/summary"
        if heard.topic == f"machine/{MACHINE}/alarm":
            event = msgspec.json.decode(heard.payload, type=AlarmEvent)
            self._judge(event)
            show(event, self.onset_ns, screen)

    @property
    def passed(self) -> bool:
        """An alarm after the onset, none before."""
        return self.first is not None and not self.early

    def _judge(self, event: AlarmEvent) -> None:
        if event.type != "new":
            return
        # A window that ends at the onset holds no faulty row yet.
        if event.after.raised_ns <= self.onset_ns:
            self.early.append(event)
        elif self.first is None:
            self.first = event


def run(options: Options, screen: Screen) -> bool:
    """The whole demo; True if the fault was alarmed after its onset and not before."""
    options.out.mkdir(parents=True, exist_ok=True)
    # The state of an earlier demo would bring its standing alarm along.
    if (options.out / STATE).exists():
        shutil.rmtree(options.out / STATE)
    profile = read_profile(PROFILE, options.out)
    rows = tennessee.faulty_run(options.fault)
    screen.title(f"Tennessee Eastman process, disturbance {options.fault}: {tennessee.describe(options.fault)}")
    screen.say(
        f"{tennessee.CHANNELS} channels, a row every 3 minutes, the fault begins at row {tennessee.ONSET_ROW} of {len(rows)}"
    )
    if options.train:
        screen.step("Learn normal operation, and sign the model as a bundle")
        model = train_model(options.out, profile, options.fault, screen)
    else:
        screen.step("Take the committed bundle")
        model = committed_model()
        screen.say(str(model.bundle))
    outcome = _play(options, profile, model, rows, screen)
    _tell(outcome, screen)
    _tell_what_next(options, model, screen)
    return outcome.passed


def _play(options: Options, profile: Profile, model: Model, rows: Float32Array, screen: Screen) -> Outcome:
    """Broker, device, daemon and consumer, together for as long as the run takes."""
    # The run ends now, on a whole row: a device sends the past, never the future.
    start_ns = (time.time_ns() // tennessee.ROW_NS - len(rows)) * tennessee.ROW_NS
    outcome = Outcome(start_ns + tennessee.ONSET_ROW * tennessee.ROW_NS)
    config = options.out / "agent.toml"
    with contextlib.ExitStack() as stack:
        screen.step("Start a broker, a device and the agent")
        broker = options.broker or stack.enter_context(embedded_broker(options.out))
        screen.say(f"broker at {broker[0]}:{broker[1]}" + ("" if options.broker else ", embedded"))
        device = stack.enter_context(SimulatedDevice())
        screen.say(f"device on {device.port}")
        write_agent(config, port=device.port, broker=broker, model=model, channels=profile.channel_names)
        stethos(screen, "check", config)
        consumer = stack.enter_context(Consumer(broker, f"stethos/{AGENT}"))
        stack.callback(consumer.clear_retained)
        daemon = stack.enter_context(Daemon(config, options.out / "agent.log"))
        screen.command(["stethos", "run", config])
        screen.say(f"ready after {daemon.start(_READY_TIMEOUT_S):.1f} s")

        hours = _ROWS_PER_S * tennessee.ROW_NS / 3.6e12
        screen.step(f"Send the run: {_ROWS_PER_S:g} rows a second, each second {hours:g} hours of the process")
        with screen.progress("rows", len(rows), tennessee.ONSET_ROW, "the fault begins") as update:
            for sent in device.send(_frames(profile, rows, start_ns), _ROWS_PER_S):
                for heard in consumer.take():
                    outcome.hear(heard, screen)
                daemon.status()
                update(sent)
        time.sleep(_SETTLE_S)
        screen.say(f"the agent's status: {daemon.status()}")
        if (code := daemon.stop(_STOP_TIMEOUT_S)) != 0:
            raise StethosError(f"the agent ended with exit code {code} on SIGTERM; see {options.out / 'agent.log'}")
        for heard in consumer.wait_for("availability", b"stopped", _STOP_TIMEOUT_S):
            outcome.hear(heard, screen)
        screen.say("the agent stopped on SIGTERM, and said so on its availability topic")
    return outcome


def _frames(profile: Profile, rows: Float32Array, start_ns: int) -> Iterator[bytes]:
    encoder = Encoder(profile)
    for index, row in enumerate(rows):
        yield encoder.frame(row.tolist(), start_ns + index * tennessee.ROW_NS)


def show(event: AlarmEvent, onset_ns: int, screen: Screen) -> None:
    """One alarm event as a person reads it: what is new or over in full, what goes on in one line."""
    alarm = event.after
    rows = (alarm.updated_ns - onset_ns) / tennessee.ROW_NS
    when = f"{abs(rows):.0f} rows {'after' if rows > 0 else 'BEFORE'} the onset"
    channels = ", ".join(f"{part.channel} {_times(part.times_usual)}" for part in alarm.channels[:3])
    if event.type == "update":
        screen.say(f"  {when}: {channels}", "dim")
        return
    style = "bold red" if event.type == "new" else "bold green"
    screen.say(f"alarm {event.type}: machine {alarm.machine}, priority {alarm.priority}, {when}", style)
    screen.say(f"  {channels}", style)


def _times(times_usual: float | None) -> str:
    return "unusual" if times_usual is None else f"{times_usual:.0f}x usual"


def _tell(outcome: Outcome, screen: Screen) -> None:
    screen.step("Outcome")
    for event in outcome.early:
        rows = (outcome.onset_ns - event.after.raised_ns) / tennessee.ROW_NS
        screen.say(f"FALSE ALARM {rows:.0f} rows before the onset", "bold red")
    if outcome.first is None:
        screen.say("the fault was NOT alarmed", "bold red")
        return
    rows = (outcome.first.after.raised_ns - outcome.onset_ns) / tennessee.ROW_NS
    minutes = rows * tennessee.ROW_NS / 60e9
    screen.say(f"alarmed {rows:.0f} rows, {minutes:.0f} minutes of the process, after the onset", "bold green")
    screen.say(f"{outcome.summaries} summaries of the channels came beside it")


def _tell_what_next(options: Options, model: Model, screen: Screen) -> None:
    screen.step("Go on from here")
    screen.say(f"bundle         {model.bundle}")
    screen.say(f"configuration  {options.out / 'agent.toml'}")
    screen.say(f"log            {options.out / 'agent.log'}")
    program = os.path.relpath(sys.argv[0])
    screen.command([program, "bundle", "show", model.bundle])
    screen.command([program, "demo", "--no-train", "--fault", "4" if options.fault != 4 else "6"])
