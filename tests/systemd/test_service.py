"""The service as PID 1 runs it: its start, its sandbox, and how it comes back from whatever ends it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.harness.broker import Received, wait_until
from tests.systemd.box import AGENT, FAULT, Box, alarm_keys, has_alarm, restarted

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

RESTART_S = 5.0
WATCHDOG_S = 30.0
RELOADED = ["RELOADING=1", "running -> reload", "READY=1", "reload -> running"]


def latest(messages: list[Received], topic: str) -> Any:
    bodies = [json.loads(message.payload) for message in messages if message.topic == f"stethos/box/{topic}"]
    return bodies[-1] if bodies else {}


def says(topic: str, condition: Callable[[dict[str, Any]], bool]) -> Callable[[list[Received]], bool]:
    """For Subscriber.wait_for: the newest document on the topic is as wanted."""
    return lambda messages: bool(body := latest(messages, topic)) and condition(body)


def configuration(health: dict[str, Any]) -> list[str]:
    """What is wrong with the agent's file."""
    return [reason["what"] for reason in health["reasons"] if reason["where"] == "configuration"]


def turns(box: Box) -> list[str]:
    """What an outspoken systemd heard from the service about its start, and the states it gave it, in order."""
    found = re.findall(r"\((RELOADING=1|READY=1)|Changed (running -> reload|reload -> running)", box.journal())
    return ["".join(each) for each in found]


def test_serial_and_mqtt_work_inside_the_sandbox_up_to_the_alarm(box: Box) -> None:
    box.configure()
    box.start()
    with box.consumer() as consumer:
        box.raise_alarm()
        box.drive(20)
        box.drive(20, FAULT)
        consumer.wait_for(has_alarm("pump"), 15)
        consumer.wait_for(has_alarm("motor"), 15)
    assert {alarm["machine"] for alarm in box.standing()} == {"pump", "motor"}
    assert box.system.run("stat", "-c", "%U %a", "/var/lib/stethos").stdout == "stethos 700\n"
    modes = box.system.run("find", "/var/lib/stethos", "-type", "f", "-perm", "/077").stdout
    assert modes == "", "files of the state that others may read"


def test_from_the_installation_to_the_first_alarm_takes_one_command(box: Box) -> None:
    box.clear()
    box.bring("/root")
    device = ("--device", "id=accel,profile=accel,port=/dev/ttyPLANT")
    model = ("--bundle", "/root/pump.stethos", "--key", "/root/release.pub", "--false-alarms", "1 per week")
    upstream = ("--broker", "mqtt://127.0.0.1", "--username", "box", "--password-file", "-")
    with box.broker_login("box", "correct horse"):
        box.system.run("stethos", "init", "--agent", "box", *device, *model, *upstream, stdin="correct horse\n")
        assert box.system.run("stat", "-c", "%U %a", "/etc/stethos/mqtt-password").stdout == "stethos 600\n"
        box.start()
        with box.consumer(username="box", password="correct horse") as consumer:
            box.raise_alarm()
            consumer.wait_for(has_alarm(), 15)


def test_the_sandbox_opens_no_device_of_another_kind(box: Box) -> None:
    """Its mode lets everybody in; only the sandbox keeps the agent out."""

    def refused(health: dict[str, Any]) -> bool:
        return any("Operation not permitted" in reason["what"] for reason in health["reasons"])

    box.configure(AGENT.replace("/dev/ttyPLANT", "/dev/ttyOTHER"))
    box.system.run("mknod", "-m", "666", "/dev/ttyOTHER", "c", "10", "229")
    outside = box.system.run("runuser", "-u", "stethos", "--", "head", "-c0", "/dev/ttyOTHER", check=False)
    assert "not permitted" not in outside.stderr
    box.start()
    with box.consumer() as consumer:
        consumer.wait_for(says("device/accel/health", refused), 15)


def test_the_sandbox_keeps_the_process_from_everything_it_does_not_need(box: Box) -> None:
    box.configure()
    box.start()
    status = dict(
        line.split(":\t", 1) for line in box.file(f"/proc/{box.property('MainPID')}/status").read_text().splitlines()
    )
    assert (status["CapEff"], status["CapBnd"], status["NoNewPrivs"], status["Seccomp"]) == (
        "0" * 16,
        "0" * 16,
        "1",
        "2",
    )
    assert status["Uid"].split() == [box.system.run("id", "-u", "stethos").stdout.strip()] * 4


def test_ready_is_said_only_after_the_self_test(box: Box) -> None:
    """A model that does not give the outputs that it promised never gets that far."""
    box.configure(golden_error=1.0)
    assert "failed" in box.system.run("systemctl", "start", "stethos", check=False, timeout_s=90).stderr
    assert "Started" not in box.journal().rpartition("Starting stethos.service")[2]
    assert "golden" in box.journal()
    box.configure()
    box.start()
    assert box.property("ActiveState") == "active"
    assert box.property("StatusText")


def test_a_killed_process_is_back_in_five_seconds_and_knows_its_alarms(box: Box) -> None:
    box.configure()
    box.start()
    with box.consumer() as consumer:
        box.raise_alarm()
        [key] = alarm_keys(consumer.wait_for(has_alarm()))
        before = box.standing()
        _, took_s = restarted(box, "KILL", 20)
        assert took_s <= RESTART_S
        consumer.wait_for(says("health", lambda body: body["uptime_s"] < RESTART_S), 15)
        assert [alarm["id"] for alarm in box.standing()] == [alarm["id"] for alarm in before]
        assert set(alarm_keys(consumer.messages)) == {key}


def test_a_stopped_process_is_ended_by_the_watchdog_which_says_where_it_hung(box: Box) -> None:
    box.configure()
    box.start()
    assert box.property("WatchdogUSec") == "30s"
    restarted(box, "STOP", WATCHDOG_S + 15)
    journal = box.journal()
    assert "Watchdog timeout" in journal
    assert "Fatal Python error: Aborted" in journal
    assert re.search(r'File ".*/agent/cli/run\.py", line \d+ in run', journal)


@pytest.mark.parametrize("end", ["reboot", "cut_power"])
def test_an_alarm_that_waits_for_the_broker_outlives_the_machine(box: Box, end: str) -> None:
    box.configure()
    box.start()
    box.systemctl("disable", "--now", "mosquitto")
    try:
        box.raise_alarm()
        wait_until(lambda: bool(box.standing()), 15, "the alarm stands")
        [alarm] = box.standing()
        if end == "cut_power":
            box.system.cut_power()
            box.system.boot()
        else:
            box.system.reboot()
        box.plug()
        box.wait_active(20)
        assert [each["id"] for each in box.standing()] == [alarm["id"]]
    finally:
        box.systemctl("enable", "mosquitto")
    with box.consumer_of_new_broker() as consumer:
        keys = alarm_keys(consumer.wait_for(has_alarm(), 30))
    assert set(keys) == {f"{alarm['id']}.1"}


def test_a_reload_takes_a_good_configuration_in_place_and_refuses_a_bad_one(box: Box) -> None:
    """What systemd heard is read from its own log, where no moment is missed."""
    before, motor = AGENT[: AGENT.rindex("[[machine]]")], AGENT[AGENT.rindex("[[machine]]") :]
    box.configure(before)
    box.start()
    pid, file = box.property("MainPID"), box.file("/etc/stethos/agent.toml")
    with box.consumer() as consumer, box.outspoken_systemd():
        consumer.wait_for(says("health", lambda body: list(body["machines"]) == ["pump"]), 15)
        file.write_text(f"{before}[agnet]\n")
        box.systemctl("reload", "stethos")
        line = f"/etc/stethos/agent.toml:{before.count(chr(10)) + 1}: agnet"
        consumer.wait_for(says("health", lambda body: any(line in what for what in configuration(body))), 30)
        wait_until(lambda: line in box.property("StatusText"), 15, "systemctl status says so too")
        assert "RELOADING=1" not in box.journal()
        file.write_text(before + motor)
        box.systemctl("reload", "stethos")
        consumer.wait_for(says("health", lambda body: set(body["machines"]) == {"pump", "motor"}), 40)
        wait_until(lambda: turns(box)[-4:] == RELOADED, 15, "systemd takes it for reloading, then for running again")
        box.drive(20)
        box.drive(20, FAULT)
        consumer.wait_for(has_alarm("motor"), 15)
        consumer.wait_for(says("health", lambda body: configuration(body) == []), 15)
    assert [box.property(name) for name in ("ActiveState", "MainPID", "NRestarts")] == ["active", pid, "0"]


def test_state_that_its_own_user_may_not_read_is_set_aside_and_said_so(box: Box) -> None:
    """As after somebody ran the agent by hand as root; only here does the agent run as a user who can be kept out."""
    box.configure(AGENT.replace('"1s"', '"1s"\nwell_after = "1s"', 1))
    box.start()
    kept = [f"/var/lib/stethos/{name}" for name in ("configurations.json", "configurations.json.copy", "trust.json")]
    wait_until(lambda: all(box.file(name).exists() for name in kept), 30, "everything that is kept")
    box.systemctl("stop", "stethos")
    box.system.run("sh", "-c", f"chown root:root {' '.join(kept)} && chmod 600 {' '.join(kept)}")
    with box.consumer() as consumer:
        box.start()
        consumer.wait_for(
            says("health", lambda body: sum(r["where"] == "state" for r in body["reasons"]) == len(kept)), 15
        )
    assert box.file(f"{kept[0]}.damaged").exists()
    owners = box.system.run("stat", "-c", "%U", kept[0], kept[2]).stdout.split()
    assert (owners, box.property("NRestarts")) == (["stethos", "stethos"], "0")


def test_a_credential_reaches_the_agent_and_nobody_else(box: Box) -> None:
    password = 'username = "box", password = { credential = "mqtt-password" }'
    agent = AGENT.replace("[trust]", password.replace(", ", "\n") + "\n[trust]").replace(
        "topic =", f"{password}, topic ="
    )
    box.configure(agent, drop_in="[Service]\nLoadCredential=mqtt-password:/etc/stethos/mqtt-password\n")
    box.file("/etc/stethos/mqtt-password").touch(0o600)
    box.file("/etc/stethos/mqtt-password").write_text("correct horse\n")
    with box.broker_login("box", "correct horse"):
        box.start()
        with box.consumer(username="box", password="correct horse") as consumer:
            consumer.wait_for(
                says("health", lambda body: not any(r["where"] == "upstream" for r in body["reasons"])), 15
            )
    assert "correct horse" not in box.journal()
    as_agent = box.system.run("runuser", "-u", "stethos", "--", "cat", "/etc/stethos/mqtt-password", check=False)
    assert "Permission denied" in as_agent.stderr


def test_the_stop_drains_within_ten_seconds(box: Box) -> None:
    box.configure()
    box.start()
    with box.consumer() as consumer:
        consumer.wait_for(says("health", bool), 15)
        box.systemctl("stop", "stethos", timeout_s=15)
        consumer.wait_for(
            lambda messages: b"stopped" in [m.payload for m in messages if m.topic.endswith("availability")]
        )
    assert (box.property("Result"), box.property("ExecMainStatus")) == ("success", "0")


def test_the_installed_unit_is_exposed_at_two_or_less(box: Box) -> None:
    box.configure()
    said = box.systemctl("show", "stethos", "--property=FragmentPath", "--value")
    assert said == "/lib/systemd/system/stethos.service"
    told = box.system.run("systemd-analyze", "security", "stethos", "--no-pager").stdout
    [exposure] = re.findall(r"Overall exposure level for stethos\.service: ([\d.]+)", told)
    assert float(exposure) <= 2.0
