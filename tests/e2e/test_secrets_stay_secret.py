"""No secret that the agent was given leaves it again: not in its log at any level, its answers, its messages, its files, or its end."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.plant import FAULT, Plant, types, wait_health
from tests.harness.broker import Broker, Subscriber, free_port, require, wait_until
from tests.harness.certificates import Authority
from tests.harness.command_line import STETHOS, stethos

UPSTREAM, DEVICE, CONSUMER, WRONG = "upstream-Kr0k0dil", "device-Nashorn77", "consumer-Wal", "mistaken-Otter9"


class SecretPlant(Plant):
    """The plant behind a broker that wants TLS, a client's certificate and a password; secrets in every place that takes one."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        authority = Authority(folder)
        certificate, key = authority.issue("broker", address="127.0.0.1")
        authority.issue("line-3")
        self.passwords = folder / "broker-passwords"
        for user, password in (("line-3", UPSTREAM), ("reader", DEVICE), ("consumer", CONSUMER)):
            self._register(user, password)
        self.tls_port = free_port()
        tls = [f"cafile {authority.ca}", f"certfile {certificate}", f"keyfile {key}", "require_certificate true"]
        access = ["allow_anonymous false", f"password_file {self.passwords}"]
        self.broker = Broker(folder, [*access, f"listener {self.tls_port} 127.0.0.1", *tls])
        self.credentials = folder / "credentials"
        self.credentials.mkdir(mode=0o700)
        self.give(UPSTREAM)
        (self.credentials / "reader").write_text(DEVICE)
        self._demand_secrets()

    def give(self, password: str) -> None:
        """Let the agent have this one for the upstream's broker."""
        file = self.folder / "password"
        file.touch(mode=0o600)
        file.write_text(f"{password}\n")

    def spoken(self) -> Subscriber:
        return Subscriber(self.broker.host, self.broker.port, "#", username="consumer", password=CONSUMER)

    def _register(self, user: str, password: str) -> None:
        self.passwords.touch(mode=0o600)
        program = require("mosquitto_passwd", "mosquitto")
        subprocess.run([program, "-b", self.passwords, user, password], check=True, timeout=60)

    def _demand_secrets(self) -> None:
        url = f"mqtts://127.0.0.1:{self.tls_port}"
        login = f"""broker = "{url}"
ca = "ca.pem"
client_certificate = "line-3.pem"
client_key = "line-3.key"
username = "line-3"
password = {{ file = "password" }}
"""
        reader = f'mqtt = {{ broker = "mqtt://127.0.0.1:{self.broker.port}", topic = "plant/drive", username = "reader", password = {{ credential = "reader" }} }}'
        lines = self.daemon.config.read_text().splitlines()
        kept = [reader if line.startswith("mqtt = ") else line for line in lines]
        text = "\n".join(login if line.startswith("broker = ") else line for line in kept)
        more = '\n[commands]\nmqtt = ["*"]\n[record]\nfolder = "record"\n[metrics]\ntextfile = "stethos.prom"\n'
        self.daemon.config.write_text(text + more)

    @property
    def secrets(self) -> list[bytes]:
        """Passwords, and the key's lines: any of them would be a piece of it."""
        key = (self.folder / "line-3.key").read_text().splitlines()
        return [text.encode() for text in (UPSTREAM, DEVICE, CONSUMER, WRONG, *key[1:-1])]

    def made(self) -> Iterator[Path]:
        """Every file that the agent wrote."""
        for folder in (self.folder / "state", self.folder / "record"):
            yield from (path for path in folder.rglob("*") if path.is_file())
        yield self.folder / "stethos.prom"
        yield self.daemon.log_path


@pytest.fixture
def plant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SecretPlant]:
    whole = SecretPlant(tmp_path)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(whole.credentials))
    monkeypatch.setenv("PYTHONFAULTHANDLER", "1")
    whole.daemon.options = ("--log-level", "debug")
    with whole:
        yield whole


def told(plant: SecretPlant, *arguments: str) -> bytes:
    """What a command says, on both of its outputs."""
    command = [*STETHOS, *arguments]
    return subprocess.run(
        command, cwd=plant.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=100, check=False
    ).stdout


def betrayed(said: bytes, secrets: list[bytes]) -> list[bytes]:
    return [secret for secret in secrets if secret in said]


def request(plant: SecretPlant, command: str) -> None:
    program = require("mosquitto_pub", "mosquitto-clients")
    topic = f"stethos/line-3/request/{command}"
    address = ["-h", plant.broker.host, "-p", str(plant.broker.port), "-u", "consumer", "-P", CONSUMER]
    subprocess.run([program, *address, "-t", topic, "-m", '{"transaction": "1"}'], check=True, timeout=60)


def test_a_whole_life_of_the_daemon_tells_no_secret(plant: SecretPlant) -> None:
    plant.give(WRONG)
    plant.daemon.start()
    wait_until(lambda: "ot authori" in plant.daemon.log, 30, "the broker's refusal of the wrong password in the log")
    plant.daemon.terminate()
    plant.give(UPSTREAM)
    with plant.spoken() as consumer:
        plant.daemon.start()
        wait_health(consumer, lambda health: health["uptime_s"] >= 0)
        command = Path(f"/proc/{plant.daemon.pid}/cmdline").read_bytes()
        environ = Path(f"/proc/{plant.daemon.pid}/environ").read_bytes()
        plant.accel(20)
        plant.accel(5, FAULT)
        consumer.wait_for(lambda sent: types(sent, "pump") == ["new"])
        request(plant, "config.get")
        request(plant, "health.get")
        answers = consumer.wait_for(lambda sent: sum("/response/" in each.topic for each in sent) == 2)
        config = next(each.payload for each in answers if each.topic.endswith("response/config.get"))
        assert config.count(b'"password":"set"') == 2
        asked = [told(plant, "check", "--json", "agent.toml"), told(plant, "check", "agent.toml")]
        asked += [told(plant, "doctor", "agent.toml"), told(plant, "doctor", "--json", "agent.toml")]
        asked += [told(plant, "alarms", "history", "--json", "--config", "agent.toml")]
        assert all(asked)
        # As the watchdog would: the journal says where every thread was, and not what it held.
        os.kill(plant.daemon.pid, signal.SIGABRT)
        wait_until(lambda: not plant.daemon.running, 30, "its end")
        said = [each.topic.encode() + each.payload for each in consumer.messages]
    assert "Fatal Python error: Aborted" in plant.daemon.log
    assert b"--log-level\0debug" in command
    files = list(plant.made())
    assert {"outbox.db", "stethos.prom", "agent.log"} <= {path.name for path in files}
    for each in [*said, *asked, command, environ, *(path.read_bytes() for path in files)]:
        assert betrayed(each, plant.secrets) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('password = { file = "password" }', f'password = "{UPSTREAM}"'),
        ('password = { file = "password" }', f'password = ["{UPSTREAM}"]'),
        ('password = { file = "password" }', f'passwort = "{UPSTREAM}"'),
        ('broker = "mqtts://', f'broker = "mqtts://line-3:{UPSTREAM}@'),
        ('username = "line-3"', ""),
        ('client_key = "line-3.key"', 'client_key = "password"'),
        ('ca = "ca.pem"', 'ca = "line-3.key"'),
        ('client_certificate = "line-3.pem"', 'client_certificate = "broker.pem"'),
    ],
    ids=[
        "inline",
        "in a list",
        "a wrong key",
        "in the address",
        "no user",
        "no PEM",
        "a key as CA",
        "another's certificate",
    ],
)
def test_no_mistake_in_the_configuration_makes_it_tell_a_secret(
    plant: SecretPlant, caplog: pytest.LogCaptureFixture, old: str, new: str
) -> None:
    text = plant.daemon.config.read_text()
    assert old in text
    plant.daemon.config.write_text(text.replace(old, new))
    for command in ("check", "doctor"):
        for options in ((), ("--json",)):
            found = stethos(command, plant.daemon.config, *options)
            assert found.output
            assert isinstance(found.exception, SystemExit | None), "no traceback, which could tell anything"
            assert betrayed(found.output.encode(), plant.secrets) == []
    assert betrayed(caplog.text.encode(), plant.secrets) == []


def test_a_certificate_of_another_key_is_told_in_words_and_the_key_is_not(plant: SecretPlant) -> None:
    text = plant.daemon.config.read_text()
    plant.daemon.config.write_text(
        text.replace('client_certificate = "line-3.pem"', 'client_certificate = "broker.pem"')
    )
    plant.daemon.start()
    wait_until(lambda: "mismatch" in plant.daemon.log.lower(), 30, "the mismatch in the log")
    plant.daemon.terminate()
    assert betrayed(plant.daemon.log_path.read_bytes(), plant.secrets) == []
