"""A Modbus line through the whole daemon: a live slave to its alarm, beside a dead one that is told as such."""

from __future__ import annotations

import struct
from pathlib import Path

from tests.e2e.plant import events, latest, types, wait_health
from tests.harness import small_plant
from tests.harness.agent_folder import contract, energy_bundle
from tests.harness.broker import Broker, Subscriber, wait_until
from tests.harness.daemon import Daemon
from tests.harness.modbus_slaves import Cable, Slaves

DRIVE = """
maker = "Test"
model = "Drive"
source = "this test"
transport = "modbus"
baud = 115200
rate_hz = 10.0
silent_after_s = 3.0
framing = { kind = "message" }
time = { kind = "arrival" }
channel = [{ name = "current", unit = "A" }]
[modbus]
timeout_ms = 80.0
registers = [{ name = "current", table = "input", address = 100, type = "f32" }]
"""


def words(value: float) -> list[int]:
    return list(struct.unpack(">HH", struct.pack(">f", value)))


def test_a_fault_that_a_modbus_slave_measures_is_alarmed_and_a_dead_slave_is_no_machine_fault(tmp_path: Path) -> None:
    (tmp_path / "firmware_configs").mkdir()
    (tmp_path / "firmware_configs" / "drive.toml").write_text(DRIVE)
    bundle = energy_bundle(contract(("current", "A"), rate_hz=10.0, hold_cells=3))
    (tmp_path / "pump.stethos").write_bytes(bundle)
    with Broker(tmp_path) as broker, Cable(tmp_path / "ttyBUS") as cable, Slaves({3: [], 4: []}) as slaves:
        slaves.dead = {4}
        slaves.registers[3][100:102] = words(1.0)
        slaves.listen_rtu(cable.far)
        config = small_plant.write(
            tmp_path,
            broker.url,
            small_plant.device("drive", "drive", 'modbus = { port = "ttyBUS", unit = 3 }'),
            small_plant.device("absent", "drive", 'modbus = { port = "ttyBUS", unit = 4 }'),
            small_plant.machine("pump", "pump.stethos", ["drive.current"]),
        )
        daemon = Daemon(config)
        with daemon, Subscriber(broker.host, broker.port, "stethos/#") as consumer:
            wait_until(lambda: len(slaves.asked[3]) > 40, 60, "more than a window of polls")
            slaves.registers[3][100:102] = words(4.0)
            consumer.wait_for(lambda messages: types(messages, "pump") == ["new"], 60)
            slaves.registers[3][100:102] = words(1.0)
            messages = consumer.wait_for(lambda messages: types(messages, "pump") == ["new", "end"], 60)
            absent = wait_health(consumer, lambda health: health["state"] == "failure", topic="device/absent/health")
            drive = wait_health(consumer, lambda health: health["state"] == "ok", topic="device/drive/health")
            cable.unplug()
            wait_until(
                lambda: (
                    "gone" in str(latest(consumer, "device/drive/health")["reasons"])
                    or "cannot open" in str(latest(consumer, "device/drive/health")["reasons"])
                ),
                30,
                "the port told as gone",
            )

    assert events(messages, "pump")[0]["after"]["channels"][0]["channel"] == "drive.current"
    assert "unit 4" in absent["reasons"][0]["what"]
    assert "does not answer" in absent["reasons"][0]["what"]
    assert absent["link"]["polls"] == absent["link"]["polls_unanswered"] >= 2
    assert drive["link"]["polls"] >= 40
