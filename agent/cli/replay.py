"""`stethos replay`: which alarms a recording gives, and which of them another configuration or model would change."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

if TYPE_CHECKING:
    from agent.record.compare import Difference, Episode
    from agent.record.reading import Recording, Step
    from agent.replay import Replay, Tally
    from agent.types import Message


def _speed(_context: click.Context, _parameter: click.Parameter, value: str) -> float | None:
    if value == "max":
        return None
    try:
        speed = float(value)
    except ValueError:
        speed = 0.0
    if not 0 < speed < float("inf"):
        raise click.BadParameter("write max, or a number above zero: 1 is as fast as it was recorded")
    return speed


@click.command()
@click.argument("recording", type=click.Path(path_type=Path))
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--speed", callback=_speed, default="max", show_default=True, metavar="max|X", help="X times real time.")
@click.option(
    "--diff", "other", type=click.Path(path_type=Path), metavar="OTHER", help="Compare with this configuration."
)
@click.option(
    "--coarse", is_flag=True, help="A second at once: many times faster; scores may differ in their last bits."
)
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON, one object a line.")
@click.pass_context
def replay(
    ctx: click.Context,
    *,
    recording: Path,
    config: Path,
    speed: float | None,
    other: Path | None,
    coarse: bool,
    as_json: bool,
) -> None:
    """Send the RECORDING in a folder through the pipeline that CONFIG describes, and print its alarms.

    The same bytes give the same alarms, bit for bit. Nothing is sent anywhere, and no port, broker or secret of CONFIG is
    used. With --diff, exit code 0 says that both configurations give the same alarms at the same times, 1 that they do not.
    """
    from agent.config.partial import check_for_replay
    from agent.replay import Replay

    runs = [Replay(check_for_replay(path), speed) for path in (config, other) if path is not None]
    if other is None:
        _show_alarms(recording, runs[0], coarse=coarse, as_json=as_json)
    else:
        ctx.exit(_show_difference(recording, runs, coarse=coarse, as_json=as_json))


def _show_alarms(folder: Path, run: Replay, *, coarse: bool, as_json: bool) -> None:
    from agent.record.reading import Recording

    recording = Recording(folder)
    for message in run.alarms(_watched(recording, coarse=coarse)):
        click.echo(message.payload if as_json else _alarm_line(message))
    if as_json:
        click.echo(msgspec.json.encode({"schema": "stethos.replay/1", **_closing(run.tally, recording)}))
        return
    for line in _closing_lines(run.tally, recording):
        click.echo(line)


def _show_difference(folder: Path, runs: Sequence[Replay], *, coarse: bool, as_json: bool) -> int:
    from agent.record.compare import compare
    from agent.record.reading import Recording
    from agent.replay import episodes

    before, after = (episodes(run.alarms(_watched(Recording(folder), coarse=coarse))) for run in runs)
    difference = compare(before, after)
    if as_json:
        click.echo(msgspec.json.encode(difference))
    else:
        for line in _difference_lines(difference):
            click.echo(line)
    return 1 if difference else 0


def _watched(recording: Recording, *, coarse: bool) -> Iterator[Step]:
    """The recording's steps, beside a bar of the bytes read where somebody watches."""
    from rich.console import Console
    from rich.progress import Progress

    from agent.replay import gathered

    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("replaying", total=recording.size_bytes)
        for step in gathered(recording.steps()) if coarse else recording.steps():
            progress.update(task, completed=recording.read_bytes)
            yield step


def _alarm_line(message: Message) -> str:
    from agent.upstream.payloads import rfc3339

    body = msgspec.json.decode(message.payload)
    alarm = body["after"]
    channels = ", ".join(f"{each['channel']} {each['share']:.0%}" for each in alarm["channels"])
    return f"{rfc3339(message.created_ns)} {body['machine']} {body['type']} score {alarm['score']:.4g} ({channels})"


def _closing(tally: Tally, recording: Recording) -> dict[str, object]:
    return {**asdict(tally), "times_real": tally.times_real, "recording": recording.counters.snapshot()}


def _closing_lines(tally: Tally, recording: Recording) -> Iterator[str]:
    yield (
        f"{tally.samples} samples, {tally.windows} windows ({tally.unknown} unknown), {tally.alarms} alarms; "
        f"{tally.recorded_ns / 1e9:.1f} s in {tally.took_s:.2f} s, {tally.times_real:.0f} x real time"
    )
    missing = {
        "damaged_bytes": "bytes were damaged",
        "segments_missing": "segments are missing",
        "dropped_chunks": "chunks were never recorded",
        "unknown": "records are of a newer version",
    }
    for counter, words in missing.items():
        if count := recording.counters[counter]:
            yield f"the recording is not whole: {count} {words}"
    if tally.unasked_chunks:
        yield f"{tally.unasked_chunks} chunks are of devices that the configuration does not have"


def _difference_lines(difference: Difference) -> Iterator[str]:
    from agent.upstream.payloads import rfc3339

    def span(episode: Episode) -> str:
        end = "standing" if episode.ended_ns is None else rfc3339(episode.ended_ns)
        return f"{rfc3339(episode.raised_ns)} to {end}"

    for word, episodes in (("gone ", difference.gone), ("new  ", difference.new)):
        for episode in episodes:
            yield f"{word} {episode.machine}/{episode.point} {span(episode)} peak strangeness {episode.peak_strangeness:.3g}"
    for pair in difference.moved:
        yield f"moved {pair.before.machine} {span(pair.before)} -> {span(pair.after)}"
    counts = {name: len(getattr(difference, name)) for name in ("new", "gone", "moved", "same")}
    yield ", ".join(f"{count} {name}" for name, count in counts.items())
