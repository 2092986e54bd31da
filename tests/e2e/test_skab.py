"""Real sensor data through the whole daemon: the SKAB water loop, by serial and by MQTT.

The alarms must be those that the workstation's judging of the same rows gives: training and the box see one world.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from agent.decode.encode import Encoder
from agent.quantities import parse_rate_per_hour
from agent.types import NANOSECONDS
from export import bundle, data, dataset
from export.data import Run
from export.judge.alarms import RunJudgement, anomalous_stretches
from export.judge.judgement import judge
from export.release import Release
from export.training_run import Settings, train_run
from tests.e2e.plant import events, types, wait_health
from tests.harness import small_plant
from tests.harness.agent_folder import KEY
from tests.harness.broker import Broker, Subscriber, wait_until
from tests.harness.daemon import Daemon
from tests.harness.profiles import shipped
from tests.harness.pty_device import PtyDevice

DATA = Path(os.environ.get("STETHOS_DATA", Path(__file__).parents[3] / "shared" / "data")) / "skab"
TRAINING_ROWS = 400
BUDGET = "1 per week"

COLUMNS = {
    "accelerometer1_rms": "Accelerometer1RMS",
    "accelerometer2_rms": "Accelerometer2RMS",
    "current": "Current",
    "pressure": "Pressure",
    "temperature": "Temperature",
    "thermocouple": "Thermocouple",
    "voltage": "Voltage",
    "volume_flow_rate_rms": "Volume Flow RateRMS",
}

pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason=f"SKAB is not at {DATA}: set $STETHOS_DATA to the data folder"
)


@dataclass(frozen=True)
class Judged:
    """What the workstation makes of a file: its bundle, the rows after training, and the alarms that they must give."""

    bundle: bytes
    rows: Run
    verdict: RunJudgement


def judged(folder: Path, name: str) -> Judged:
    """Train on the first 400 rows, as SKAB's protocol has it, and judge the rest."""
    path = folder / "skab.toml"
    path.write_text(_dataset(DATA / name))
    source = dataset.load(path)
    recordings = data.read(source)
    settings = Settings(family="pca", window=30, hop=5, seed=0, epochs=1)
    run = train_run(source, recordings, settings, lambda *_: None)
    tests = recordings.of("test")
    verdict = judge(run.model, run.record.contract, run.record.calibration, tests, parse_rate_per_hour(BUDGET))
    return Judged(bundle.export(run, [KEY], Release("1.0.0", 1)).data, tests[0], verdict.runs[0])


def _dataset(file: Path) -> str:
    profile = shipped("skab-csv")
    channels = "".join(
        f'[[channel]]\nname = "{channel.name}"\nunit = "{channel.unit}"\ncolumn = "{COLUMNS[channel.name]}"\n'
        for channel in profile.channel
    )
    runs = "".join(
        f'[[run]]\nfile = "{file}"\nrole = "{role}"\nrows = {rows}\n{label}'
        for role, rows, label in (
            ("train", [0, TRAINING_ROWS], ""),
            ("test", [TRAINING_ROWS, 100_000], 'label = "anomaly"\n'),
        )
    )
    return (
        f'name = "loop"\nrate_hz = 1.0\nseparator = ";"\nhold_cells = 3\n[time]\ncolumn = "datetime"\n{channels}{runs}'
    )


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path) as running:
        yield running


def test_a_skab_run_by_serial_gives_the_alarms_that_the_workstation_foresaw(tmp_path: Path, broker: Broker) -> None:
    expected = judged(tmp_path, "valve1/1.csv")
    assert expected.verdict.delays_s[0] is not None, "the model finds this fault"
    with PtyDevice(tmp_path / "ttyLOOP") as port:
        place = f'serial = {{ port = "{port.path}" }}'
        run_and_compare(tmp_path, broker, expected, "skab-csv", place, port.write)


def test_a_skab_run_by_mqtt_gives_the_alarms_that_the_workstation_foresaw(tmp_path: Path, broker: Broker) -> None:
    expected = judged(tmp_path, "valve1/0.csv")
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.connect(broker.host, broker.port)
    client.loop_start()
    place = f'mqtt = {{ broker = "{broker.url}", topic = "plant/loop" }}'

    def send(frame: bytes) -> None:
        receipt = client.publish("plant/loop", frame, qos=1)
        receipt.wait_for_publish(30)
        assert receipt.is_published()

    run_and_compare(tmp_path, broker, expected, "skab-json", place, send)
    client.disconnect()
    client.loop_stop()


def run_and_compare(
    folder: Path, broker: Broker, expected: Judged, profile: str, place: str, send: Callable[[bytes], None]
) -> None:
    (folder / "loop.stethos").write_bytes(expected.bundle)
    channels = [f"loop.{name}" for name in COLUMNS]
    machine = small_plant.machine("loop", "loop.stethos", channels, false_alarms=BUDGET)
    config = small_plant.write(folder, broker.url, small_plant.device("loop", profile, place), machine)
    with Daemon(config), Subscriber(broker.host, broker.port, "stethos/#") as consumer:
        encoder = Encoder(shipped(profile))
        wait_health(consumer, lambda health: bool(health["link"]["opened"]), topic="device/loop/health")
        if "mqtt" in place:
            wait_until(lambda: "Sending SUBACK to stethos-line-3-in-0" in broker.log(), 30, "the subscription")
        for t_ns, values in zip(expected.rows.t_ns.tolist(), expected.rows.values, strict=True):
            send(encoder.frame(values, t_ns))
        rows = len(expected.rows.t_ns)
        health = wait_health(consumer, lambda health: health["flow"]["samples"]["in"] == rows)
        wait_health(
            consumer, lambda later: later["uptime_s"] > health["uptime_s"] and later["flow"]["outbox"]["held"] == 0
        )
        due = expected.verdict.false_alarms + 1
        messages = consumer.wait_for(lambda messages: types(messages, "loop").count("new") >= due)
    raised = [event["after"]["raised_ns"] for event in events(messages, "loop") if event["type"] == "new"]
    ((first_ns, last_ns),) = anomalous_stretches(expected.rows.t_ns, expected.rows.anomalous)
    within = [at_ns for at_ns in raised if first_ns < at_ns <= last_ns + NANOSECONDS]
    assert len(raised) - len(within) == expected.verdict.false_alarms
    assert [(within[0] - first_ns) / NANOSECONDS] == expected.verdict.delays_s, "the same alarm at the same instant"
    assert health["flow"]["windows"]["in"] == expected.verdict.windows + expected.verdict.unknown
    assert types(messages, "loop")[0] == "new"
