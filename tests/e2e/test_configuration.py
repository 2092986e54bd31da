"""The configuration of the real daemon: a bad file keeps the last good one, SIGHUP takes a good one, the network's goes back unless confirmed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.plant import FAULT, Plant, latest, types, wait_health
from tests.e2e.test_alarm_commands import answer, ask
from tests.harness.broker import Subscriber, wait_until
from tests.harness.command_line import STETHOS, stethos_process

ALLOWED = '["config.stage", "config.apply", "config.confirm", "config.revert", "health.get"]'


@pytest.fixture
def settled(plant: Plant) -> Plant:
    """The plant, whose configuration counts as good after a second, and which takes others from the network."""
    text = plant.daemon.config.read_text().replace('state = "state"', 'state = "state"\nwell_after = "1s"')
    plant.daemon.config.write_text(text + f"[commands]\nmqtt = {ALLOWED}\n")
    return plant


@contextmanager
def started(plant: Plant) -> Iterator[Subscriber]:
    """The daemon, and a consumer that has heard it."""
    with plant.consumer() as consumer:
        plant.daemon.start()
        wait_health(consumer, lambda health: health["state"])
        yield consumer


def book(plant: Plant) -> dict[str, Any]:
    path = plant.folder / "state" / "configurations.json"
    return json.loads(path.read_text())["document"] if path.exists() else {}


def wait_kept(plant: Plant, text: str) -> None:
    wait_until(lambda: (book(plant).get("good") or {}).get("text") == text, 30, "the configuration kept as good")


def reasons(consumer: Subscriber) -> list[str]:
    health = latest(consumer, "health")
    return [] if health is None else [r["what"] for r in health["reasons"] if r["where"] == "configuration"]


def security(consumer: Subscriber) -> list[str]:
    return [json.loads(payload)["event"] for payload in consumer.payloads("stethos/line-3/security")]


def boots(consumer: Subscriber) -> list[str]:
    """Each run of the agent by its id, in order."""
    ids = [json.loads(payload)["boot_id"] for payload in consumer.payloads("stethos/line-3/health")]
    return list(dict.fromkeys(ids))


def request(plant: Plant, consumer: Subscriber, command: str, **fields: Any) -> dict[str, Any]:
    name = f"{command}-{time.monotonic_ns()}"
    ask(plant, command, json.dumps({"by": "Meier", "transaction": name, **fields}).encode())
    return answer(consumer, name)


def test_a_bad_file_and_a_bad_profile_keep_the_last_good_configuration_running(settled: Plant) -> None:
    good = settled.daemon.config.read_text()
    with started(settled):
        wait_kept(settled, good)
    assert settled.daemon.terminate() == 0
    line = good.count("\n") + 1
    settled.daemon.config.write_text(good + "[agnet]\n")
    (settled.folder / "firmware_configs" / "accel.toml").write_text("broken = ")
    with started(settled) as consumer:
        wait_until(lambda: len(reasons(consumer)) >= 2, 30, "a reason for each problem")
        assert f"{settled.daemon.config}:{line}: agnet" in reasons(consumer)[0]
        assert "the configuration that last ran well runs" in reasons(consumer)[0]
        assert "maintenance_required" in json.dumps(latest(consumer, "health")["reasons"])
        wait_until(lambda: "config_refused" in security(consumer), 30, "a security event")
        settled.accel(20)
        settled.accel(5, FAULT)
        consumer.wait_for(lambda messages: types(messages, "pump") == ["new"])
    assert f"{settled.daemon.config}:{line}" in settled.daemon.log
    assert settled.daemon.terminate() == 0


def test_with_strict_or_where_nothing_ever_ran_well_a_bad_file_is_exit_code_two(settled: Plant) -> None:
    settled.daemon.config.write_text("[agnet]\n")
    assert stethos_process("run", settled.daemon.config).returncode == 2


def test_a_file_that_is_no_toml_is_refused_too_and_strict_ends_the_agent(settled: Plant) -> None:
    good = settled.daemon.config.read_text()
    with started(settled):
        wait_kept(settled, good)
    settled.daemon.terminate()
    settled.daemon.config.write_text(good + "[[[")
    assert stethos_process("run", "--strict", settled.daemon.config).returncode == 2
    with started(settled) as consumer:
        wait_until(lambda: any("not TOML" in reason for reason in reasons(consumer)), 30, "the reason")


def test_sighup_takes_a_good_file_in_place_and_refuses_a_bad_one(settled: Plant) -> None:
    good = settled.daemon.config.read_text()
    with started(settled) as consumer:
        pid = settled.daemon.pid
        settled.accel(20)
        settled.accel(5, FAULT)
        consumer.wait_for(lambda messages: types(messages, "pump") == ["new"])
        settled.daemon.config.write_text(good + "[agnet]\n")
        os.kill(pid, signal.SIGHUP)
        wait_until(lambda: bool(reasons(consumer)), 30, "a reason")
        assert "what ran before runs on" in reasons(consumer)[0]
        assert len(boots(consumer)) == 1
        settled.daemon.config.write_text(good.replace("[[device]]", "[inference]\nthreads = 2\n[[device]]", 1))
        os.kill(pid, signal.SIGHUP)
        wait_until(lambda: len(boots(consumer)) == 2, 60, "another run")
        assert settled.daemon.running
        assert settled.daemon.pid == pid
        assert reasons(consumer) == []
        settled.accel(20)
        consumer.wait_for(lambda messages: types(messages, "pump") == ["new", "end"], 30)
        assert b"offline" not in consumer.payloads("stethos/line-3/availability")
    assert settled.daemon.terminate() == 0


def test_a_reload_leaves_no_process_and_no_descriptor_behind(settled: Plant) -> None:
    """The agent starts anew in its own process, whose children and open files would else outlive it."""
    text = settled.daemon.config.read_text()
    settled.daemon.config.write_text(text + "[inference]\nisolate = true\n")
    with settled.consumer() as consumer:
        settled.start(consumer)
        wait_health(consumer, lambda health: health["state"])
        pid = settled.daemon.pid
        before = (len(children(pid)), descriptors(pid))
        for run in (2, 3):
            os.kill(pid, signal.SIGHUP)
            wait_until(lambda run=run: len(boots(consumer)) == run, 60, "another run")
        wait_until(lambda: len(children(pid)) == before[0], 30, "no more children than before")
        wait_until(lambda: "Z" not in children(pid).values(), 30, "each of them buried")
        wait_until(lambda: descriptors(pid) <= before[1] + 1, 30, "no more descriptors than before")
    assert settled.daemon.terminate() == 0


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def children(parent: int) -> dict[int, str]:
    """The state of each process that `parent` has started and not yet buried."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, ppid = stat.read_text().rpartition(")")[2].split()[:2]
        except OSError:  # it ended meanwhile
            continue
        if int(ppid) == parent:
            found[int(stat.parent.name)] = state
    return found


def test_a_configuration_from_the_network_goes_back_unless_it_is_confirmed(settled: Plant) -> None:
    before = settled.daemon.config.read_text()
    change = before.replace('health_every = "1s"', 'health_every = "2s"')
    with started(settled) as consumer:
        bad = request(settled, consumer, "config.stage", text=before + "[agnet]\nx = 1\n[[device]]\n")
        assert bad["status"] == "error"
        assert f"the configuration:{before.count(chr(10)) + 1}: agnet" in bad["error"]
        assert "device[2]" in bad["error"], "every problem, not the first"
        theft = request(settled, consumer, "config.stage", text=before.replace("health.get", "*"))
        assert "on the box alone" in theft["error"]
        assert request(settled, consumer, "config.apply")["error"] == "no configuration is staged"
        assert request(settled, consumer, "config.stage", text=change)["status"] == "ok"
        assert len(boots(consumer)) == 1, "it is kept, and nothing changes"
        assert request(settled, consumer, "config.apply", confirm_within="10s")["status"] == "ok"
        wait_until(lambda: len(boots(consumer)) == 2, 60, "a run on trial")
        told = "stethos/line-3/health"
        wait_until(lambda: any(b"on trial" in each for each in consumer.payloads(told)), 30, "health says so")
        wait_until(lambda: len(boots(consumer)) == 3, 60, "the run after it went back")
        wait_until(lambda: "config_reverted" in security(consumer), 30, "it is told")
        assert security(consumer) == ["config_staged", "config_applied", "config_reverted"]
        assert reasons(consumer) == []
        assert book(settled)["trial"] is None
    assert settled.daemon.terminate() == 0


def test_a_confirmed_configuration_stays_until_the_file_on_the_box_changes(settled: Plant) -> None:
    before = settled.daemon.config.read_text()
    change = before.replace('"10s"', '"20s"')
    with started(settled) as consumer:
        assert request(settled, consumer, "config.stage", text=change)["status"] == "ok"
        assert request(settled, consumer, "config.apply", confirm_within="10m")["status"] == "ok"
        wait_until(lambda: len(boots(consumer)) == 2, 60, "a run on trial")
        assert request(settled, consumer, "config.confirm")["status"] == "ok"
        wait_until(lambda: reasons(consumer) == [], 30, "no trial any more")
        wait_kept(settled, change)
    settled.daemon.kill()
    with started(settled) as consumer:
        assert book(settled)["remote"]["contents"]["text"] == change
        assert reasons(consumer) == []
        settled.daemon.terminate()
        settled.daemon.config.write_text(before + "# the technician was here\n")
        settled.daemon.start()
        wait_until(lambda: "config_reverted" in security(consumer), 30, "the file on the box has the last word")
    assert book(settled)["remote"] is None


def test_an_agent_that_is_killed_on_trial_comes_back_with_the_one_before(settled: Plant) -> None:
    before = settled.daemon.config.read_text()
    with started(settled) as consumer:
        request(settled, consumer, "config.stage", text=before.replace('"10s"', '"20s"'))
        request(settled, consumer, "config.apply", confirm_within="10m")
        wait_until(lambda: len(boots(consumer)) == 2, 60, "a run on trial")
        settled.daemon.kill()
        settled.daemon.start()
        wait_until(lambda: "config_reverted" in security(consumer), 30, "it goes back")
    assert book(settled)["trial"] is None


def test_the_watchdog_is_fed_while_no_broker_is_there(settled: Plant, tmp_path: Path) -> None:
    settled.broker.kill()
    said: list[bytes] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind(str(tmp_path / "watch"))
        bound.settimeout(0.2)
        with (tmp_path / "watch.log").open("wb") as log:
            daemon = subprocess.Popen(
                [*STETHOS, "run", str(settled.daemon.config)],
                env={**os.environ, "NOTIFY_SOCKET": str(tmp_path / "watch"), "WATCHDOG_USEC": "30000000"},
                stderr=log,
            )
        ended = threading.Event()

        def listen() -> None:
            while True:
                try:
                    said.append(bound.recv(4096))
                except TimeoutError:
                    if ended.is_set():
                        return

        listener = threading.Thread(target=listen)
        listener.start()
        try:
            wait_until(lambda: said.count(b"WATCHDOG=1") >= 4, 60, "pings")
            daemon.send_signal(signal.SIGSTOP)
            time.sleep(1)
            pings = said.count(b"WATCHDOG=1")
            time.sleep(3)
            assert said.count(b"WATCHDOG=1") == pings, "a stopped process pings nobody"
            daemon.send_signal(signal.SIGCONT)
            wait_until(lambda: said.count(b"WATCHDOG=1") > pings + 1, 30, "pings again")
        finally:
            daemon.terminate()
            daemon.wait(60)
            ended.set()
            listener.join()
    assert b"STOPPING=1\nSTATUS=draining" in said
