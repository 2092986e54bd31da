"""`stethos simulate`: a device that is not there, on a port or a broker, with the faults that one asks for."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from agent.decode.profile import Profile
    from agent.simulate.device import Device
    from agent.simulate.outlets import Outlet
    from agent.simulate.run import Totals


@click.command()
@click.argument("profile_name", metavar="PROFILE")
@click.option("--pty", type=click.Path(path_type=Path), metavar="PATH", help="Link the serial port to this path.")
@click.option("--mqtt", "broker", metavar="URL", help="Publish to this broker: mqtt://HOST:PORT.")
@click.option("--topic", help="Where to publish; GROUP/NODE for Sparkplug.")
@click.option("--tcp", metavar="HOST:PORT", help="Serve Modbus TCP there.")
@click.option("--data", type=click.Path(path_type=Path, exists=True), help="CSV or Parquet, one column a channel.")
@click.option(
    "--model", type=click.Choice(["motor", "pump"]), help="Physics to measure; else channels wander in their ranges."
)
@click.option("--fault", "faults", multiple=True, metavar="KIND[:CHANNEL]@START[+DURATION]", help="May be given again.")
@click.option(
    "--speed", type=click.FloatRange(min=0, min_open=True), default=1.0, show_default=True, help="Times real time."
)
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="Stop after so long of the device's time.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="The same one gives the same signal."
)
def simulate(
    *,
    profile_name: str,
    pty: Path | None,
    broker: str | None,
    topic: str | None,
    tcp: str | None,
    data: Path | None,
    model: str | None,
    faults: tuple[str, ...],
    speed: float,
    seconds: float | None,
    seed: int,
) -> None:
    """Behave as a device of PROFILE would: on a pseudo-terminal, a broker, or a TCP port (Modbus).

    Faults: noise, loss, repeat, silence, unplug (of the link); stuck, drift, spike, clipping (of a sensor: name its CHANNEL, or all are
    meant); bearing-outer, bearing-inner, bearing-ball, imbalance, misalignment (motor); imbalance, cavitation,
    blocked-filter (pump).
    """
    import signal
    import threading

    from agent.clock import SystemClock
    from agent.config.profiles import profile_named
    from agent.simulate.device import Device, samples
    from agent.simulate.run import simulate as run
    from agent.simulate.schedule import parse_schedule

    if model is not None and data is not None:
        raise click.UsageError("give --model or --data, not both")
    profile = profile_named(profile_name, "PROFILE")
    schedule = parse_schedule(faults)
    values = samples(profile, schedule, seed, model, data)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    device = Device(profile, values, schedule, seed, topic or "")
    outlet = _outlet(profile, device, pty=pty, broker=broker, topic=topic, tcp=tcp)
    totals = run(device, outlet, stop, SystemClock(), speed=speed, seconds=seconds, show=_Line(outlet).show)
    click.echo(
        f"{totals.frames} frames, {totals.bytes} bytes in {totals.elapsed_s:.1f} s; {outlet.unsent} bytes nobody took"
    )


def _outlet(
    profile: Profile, device: Device, *, pty: Path | None, broker: str | None, topic: str | None, tcp: str | None
) -> Outlet:
    """Where a device of this profile speaks; raises UsageError where options are missing, or of another transport."""
    wanted = {"serial": {"pty"}, "mqtt": {"mqtt", "topic"}, "modbus": {"tcp"}}[profile.transport]
    given = {
        name for name, value in {"pty": pty, "mqtt": broker, "topic": topic, "tcp": tcp}.items() if value is not None
    }
    if given - wanted or (wanted - given and profile.transport != "serial"):
        options = " and ".join(f"--{name}" for name in sorted(wanted))
        need = f"it may have {options}" if profile.transport == "serial" else f"give {options}"
        raise click.UsageError(f"this profile speaks over {profile.transport}: {need}")
    if broker is not None:
        from agent.config.broker import parse_broker
        from agent.simulate.outlets import MqttTopics

        try:
            return MqttTopics(parse_broker(broker), device.will())
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--mqtt") from error
    if tcp is not None and profile.modbus is not None:
        from agent.simulate.modbus_slave import ModbusSlave

        host, colon, port = tcp.rpartition(":")
        if not (colon and host and port.isdecimal() and 0 < int(port) < 65_536):
            raise click.BadParameter("write HOST:PORT, as in 127.0.0.1:1502", param_hint="--tcp")
        return ModbusSlave(profile.modbus, host.strip("[]"), int(port))
    from agent.simulate.answers import Answers
    from agent.simulate.outlets import PtyPort

    return PtyPort(pty, Answers(profile.startup).feed)


class _Line:
    """Where to listen, once and whenever that changes; then on a terminal one line that is written over."""

    _EVERY_S = 0.5

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet
        self._terminal = sys.stderr.isatty()
        self._due_s = 0.0

    def show(self, totals: Totals) -> None:
        if totals.frames == 0:
            click.echo(f"sending to {self._outlet.name}; stop with Ctrl-C")
        elif self._terminal and totals.elapsed_s >= self._due_s:
            self._due_s = totals.elapsed_s + self._EVERY_S
            click.echo(
                f"\r\x1b[K{totals.elapsed_s:.0f} s: {totals.frames} frames, {totals.bytes} bytes", nl=False, err=True
            )
