"""`python -m tests.bench [GROUP...]`: measure all groups or those named, into docs/figures.json."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from pathlib import Path

from tests.bench import (
    bundle,
    daemon,
    engine,
    explain,
    false_alarms,
    families,
    faults,
    heal_link,
    infer,
    inference_soak,
    latency,
    models_fan,
    models_hydraulic,
    models_nab,
    models_skab,
    models_tep,
    mqtt_formats,
    mqtt_in,
    outbox,
    pipeline,
    ports_921600,
    replay,
    sensor_faults,
    serial_framings,
    serial_in,
    swap,
    time_regression,
    training,
    unit,
    variants,
)
from tests.bench.figures import Figure, update

FIGURES = Path(__file__).resolve().parents[2] / "docs" / "figures.json"
GROUPS: Mapping[str, Callable[[], Iterator[Figure]]] = {
    "pipeline": pipeline.measure,
    "mqtt_in": mqtt_in.measure,
    "mqtt_formats": mqtt_formats.measure,
    "serial_in": lambda: chain(serial_framings.measure(), serial_in.measure()),
    "devices": lambda: chain(time_regression.measure(), ports_921600.measure(), replay.measure()),
    "sensor_faults": sensor_faults.measure,
    "training": training.measure,
    "false_alarms": false_alarms.measure,
    "faults": faults.measure,
    "latency": latency.measure,
    "bundle": bundle.measure,
    "swap": swap.measure,
    "infer": infer.measure,
    "inference_soak": inference_soak.measure,
    "variants": variants.measure,
    "outbox": outbox.measure,
    "memory": daemon.memory,
    "idle": daemon.idle,
    "start": lambda: chain(daemon.start(), engine.measure()),
    "explain": explain.measure,
    "unit": unit.measure,
    "heal": unit.sigkill,
    "heal_link": heal_link.measure,
    "families": families.measure,
    "models": lambda: chain(
        models_skab.measure(),
        models_tep.measure(),
        models_fan.measure(),
        models_hydraulic.measure(),
        models_nab.measure(),
    ),
}

# A group's name is the first part of its figures' names, but for what is measured apart because it takes long.
PART_OF = {"inference_soak": "infer"}


def main(names: list[str]) -> int:
    if unknown := [name for name in names if name not in GROUPS]:
        print(f"no such group: {', '.join(unknown)}; there are {', '.join(GROUPS)}", file=sys.stderr)
        return 2
    for name in names or GROUPS:
        print(f"{name}: measuring ...", flush=True)
        started = time.monotonic()
        found = list(GROUPS[name]())
        update(FIGURES, PART_OF.get(name, name), found, command=f"make bench ONLY={name}")
        for figure in found:
            goal = f", goal {figure.goal}" if figure.goal else ""
            print(f"  {figure.name} = {figure.value:g} {figure.unit}{goal} ({figure.against})")
        print(f"  in {time.monotonic() - started:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
