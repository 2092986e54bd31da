"""`stethos model data`: what is in a data set, and what cleaning made of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from export.cli.extra import require_training

if TYPE_CHECKING:
    from export.data_report import ChannelReport, DataReport, StreamReport


@click.command()
@click.argument("dataset", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--window", type=click.IntRange(min=1), help="Also cut windows of so many cells, and count them.")
@click.option("--hop", type=click.IntRange(min=1), help="Cells between one window and the next; --window where absent.")
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON.")
def data(dataset: Path, window: int | None, hop: int | None, as_json: bool) -> None:  # noqa: FBT001 - a flag
    """Read DATASET.toml as training does, and report what was found and cleaned, run by run and channel by channel."""
    require_training()
    import msgspec

    from agent.errors import ConfigError, Problem
    from export import data as reading
    from export import dataset as datasets
    from export.windows_report import with_windows

    if hop is not None and window is None:
        raise ConfigError([Problem("--hop", "there is no window to move", "give --window")])
    source = datasets.load(dataset)
    recordings = reading.read(source)
    report = recordings.report
    if window is not None:
        report = with_windows(recordings, source.dataset.contract(window, hop or window))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(report), indent=2))
    else:
        _print(report)


def _print(report: DataReport) -> None:
    click.echo(f"{report.name}: {len(report.runs)} runs at {report.rate_hz:g} Hz")
    for name, how in report.converted.items():
        click.echo(f"  {name} converted from {how}")
    for run in report.runs:
        click.echo(f"{run.name}: {run.role}{_counts(run.labels)}")
        for stream in run.streams:
            click.echo(f"  {_rows(stream, of_several=len(run.streams) > 1)}")
            for channel in filter(lambda each: each.worth_a_word, stream.channels):
                click.echo(f"    {_values(channel)}")
        if (found := run.windows) is not None:
            restarts = f", the grid began anew {found.restarts} times" if found.restarts else ""
            late = f", {found.rows_dropped} rows too late or too far ahead" if found.rows_dropped else ""
            click.echo(f"  {found.known} windows{_counts(found.labels)}, {found.unknown} unknown{restarts}{late}")


def _rows(stream: StreamReport, *, of_several: bool) -> str:
    """What came, and whatever is odd about its rows and their times."""
    channels = f"{', '.join(channel.name for channel in stream.channels)}: " if of_several else ""
    begin = f" from {stream.begin}" if stream.begin else ""
    odd = {
        "without a number": stream.empty,
        "without a time": stream.untimed,
        "with a time that leapt alone": stream.disbelieved,
        "broken frames": stream.broken_frames,
        "with the time of another": stream.duplicates,
        "out of order": stream.disordered,
        "steps of the clock": stream.clock_steps,
    }
    parts = [f"{count} {what}" for what, count in odd.items() if count]
    if stream.gaps:
        parts.append(f"{stream.gaps} gaps, the longest {stream.longest_gap_s:g} s")
    return f"{channels}{stream.rows} rows{begin} over {stream.span_s:g} s" + "".join(f", {part}" for part in parts)


def _values(channel: ChannelReport) -> str:
    text = [f"'{word}' {count}" for word, count in channel.text.items()]
    odd = {"blank": channel.blank, "not finite": channel.non_finite, **channel.flagged}
    parts = [*text, *(f"{name.replace('_', ' ')} {count}" for name, count in odd.items() if count)]
    return f"{channel.name}: {channel.good} of {channel.samples} values are good: {', '.join(parts) or 'missing'}"


def _counts(labels: dict[str, int]) -> str:
    return f" ({', '.join(f'{kind} {count}' for kind, count in labels.items())})" if labels else ""
