"""Every mistake in a configuration has its own message, at its own line, and all of them come at once."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.config.broker import Broker
from agent.config.check import check
from agent.config.checked import ChannelRef, SerialPlace, Subscription
from agent.errors import ConfigError
from tests.harness.agent_folder import ACCEL, CONTRACT, DRIVE, AgentFolder, contract, energy_bundle, energy_model

Spoil = Callable[[AgentFolder], object]
WEEK_H = 168.0


@pytest.fixture
def agent(tmp_path: Path) -> AgentFolder:
    return AgentFolder(tmp_path)


def problems(agent: AgentFolder) -> list[str]:
    """What the check says, with the folder's path taken out."""
    with pytest.raises(ConfigError) as caught:
        check(agent.config)
    return [str(problem).replace(f"{agent.folder}/", "") for problem in caught.value.problems]


def test_a_sound_configuration_comes_back_parsed_resolved_and_proven(agent: AgentFolder) -> None:
    checked = check(agent.config)
    accel, drive = checked.devices["accel"], checked.devices["drive"]
    assert accel.place == SerialPlace(str(agent.folder / "ttyACCEL"), 230_400, "none", 1)
    assert isinstance(drive.place, Subscription)
    assert (drive.place.connection.broker, drive.place.topic) == (Broker("127.0.0.1", 1883, False), "plant/drive/+")
    machine = checked.machines["pump-1"]
    assert machine.channels == (
        ChannelRef("accel", "x", 0),
        ChannelRef("accel", "y", 1),
        ChannelRef("drive", "current", 0),
    )
    assert machine.feeds == {"accel": [(0, 0), (1, 1)], "drive": [(0, 2)]}
    assert machine.false_alarms_per_hour == pytest.approx(1 / WEEK_H)
    assert machine.session.provider
    assert (checked.upstream.username, checked.upstream.password) == ("line-3", "hunter2")
    assert "hunter2" not in repr(checked)
    assert checked.state == agent.folder / "state"
    assert (checked.health_every_ns, checked.deadline_ns, checked.keepalive_s) == (30 * 10**9, 10 * 10**9, 20)
    assert checked.warnings == ()


ONE_PROBLEM: dict[str, tuple[Spoil, str]] = {
    # the file's form
    "unknown key": (
        lambda a: a.replace('false_alarms = "1', 'fasle_alarms = "1'),
        "agent.toml:28: machine[0].fasle_alarms: unknown key 'fasle_alarms' (did you mean 'false_alarms'?)",
    ),
    "no TOML": (
        lambda a: a.replace("[trust]", "[trust"),
        "agent.toml: not TOML: Expected ']' at the end of a table declaration (at line 11, column 7) (mend the syntax there)",
    ),
    "missing file": (
        lambda a: a.config.unlink(),
        "agent.toml: cannot read agent.toml: No such file or directory (check the path, or create the file)",
    ),
    "not UTF-8": (
        lambda a: a.config.write_bytes(b"# \xff"),
        "agent.toml: byte 2 is not UTF-8 (save the file as UTF-8 text)",
    ),
    # names
    "id with a slash": (
        lambda a: a.replace('id = "line-3"', 'id = "line/3"'),
        "agent.toml:3: agent.id: 'line/3' cannot stand in a topic (use 1 to 64 of A-Z a-z 0-9 _ -)",
    ),
    "machine id that is empty": (
        lambda a: a.replace('id = "pump-1"', 'id = ""'),
        "agent.toml:25: machine[0].id: '' cannot stand in a topic (use 1 to 64 of A-Z a-z 0-9 _ -)",
    ),
    # devices
    "serial and mqtt": (
        lambda a: a.replace(
            'serial = { port = "ttyACCEL" }',
            'serial = { port = "t" }\nmqtt = { broker = "mqtt://localhost", topic = "t" }',
        ),
        "agent.toml:14: device[0]: the device 'accel' has serial and mqtt (keep one of them)",
    ),
    "neither serial nor mqtt": (
        lambda a: a.replace('serial = { port = "ttyACCEL" }', ""),
        "agent.toml:14: device[0]: the device 'accel' has neither serial nor mqtt nor modbus (add serial = {...}, mqtt = {...} or modbus = {...})",
    ),
    "another transport": (
        lambda a: (
            a.replace('"accel-cobs"', '"drive-json"')
            or a.replace('"accel.x", "accel.y", ', "")
            or a.bundle(energy_bundle(contract(("current", "A"))))
        ),
        "agent.toml:14: device[0]: the profile 'drive-json' speaks over mqtt (write mqtt = {...}, or take another profile)",
    ),
    "missing profile": (
        lambda a: a.replace('"accel-cobs"', '"accel-cbos"'),
        "agent.toml:16: device[0].profile: there is no profile 'accel-cbos' (did you mean 'accel-cobs'?)",
    ),
    "missing profile by path": (
        lambda a: a.replace('"accel-cobs"', '"mine.toml"'),
        (
            "mine.toml: cannot read mine.toml: No such file or directory, in the profile that agent.toml:16: device[0].profile "
            "asks for (check the path, or create the file)"
        ),
    ),
    "bad profile": (
        lambda a: a.profile("accel-cobs", ACCEL.replace('unit = "Cel"', 'unit = "Cel", ofset = 1')),
        (
            "firmware_configs/accel-cobs.toml:16: channel[2].ofset: unknown key 'ofset', in the profile that "
            "agent.toml:16: device[0].profile asks for (did you mean 'offset'?)"
        ),
    ),
    "baud": (
        lambda a: a.replace('"ttyACCEL"', '"ttyACCEL", baud = 0'),
        "agent.toml:17: device[0].serial.baud: 0 is no baud rate (common ones are 9600, 115200, 921600)",
    ),
    "parity": (
        lambda a: a.replace('"ttyACCEL"', '"ttyACCEL", parity = "evn"'),
        "agent.toml:17: device[0].serial.parity: 'evn' is no choice here (did you mean 'even'?)",
    ),
    "no port": (
        lambda a: a.replace('"ttyACCEL"', '""'),
        (
            "agent.toml:17: device[0].serial.port: the port has no name (stable names lie in /dev/serial/by-id; or give the "
            "usb_serial that `stethos ports` shows)"
        ),
    ),
    "topic filter": (
        lambda a: a.replace("plant/drive/+", "plant/#/drive"),
        "agent.toml:22: device[1].mqtt.topic: 'plant/#/drive' is no topic filter ('+' stands for one whole level, '#' for all last ones)",
    ),
    "plain text from a device": (
        lambda a: a.replace("mqtt://127.0.0.1", "mqtt://drive.plant"),
        (
            "agent.toml:22: device[1].mqtt.broker: mqtt:// to drive.plant leaves this machine unencrypted "
            "(use mqtts://, or accept it with allow_plaintext = true)"
        ),
    ),
    # upstream
    "broker's address": (
        lambda a: a.replace("mqtt://localhost:1883", "localhost:1883"),
        "agent.toml:7: upstream.broker: 'localhost:1883' is no broker address; write mqtt://HOST:PORT or mqtts://HOST:PORT",
    ),
    "login in the address": (
        lambda a: a.replace("mqtt://localhost:1883", "mqtt://me:hunter2@localhost"),
        "agent.toml:7: upstream.broker: a broker's address carries no login; use the keys username and password",
    ),
    "plain text upstream": (
        lambda a: a.replace("mqtt://localhost:1883", "mqtt://10.0.0.1"),
        (
            "agent.toml:7: upstream.broker: mqtt:// to 10.0.0.1 leaves this machine unencrypted "
            "(use mqtts://, or accept it with allow_plaintext = true)"
        ),
    ),
    "base of topics": (
        lambda a: a.replace("[upstream]", '[upstream]\nbase = "a/+"'),
        "agent.toml:7: upstream.base: 'a/+' is no base of topics (write levels like 'stethos' or 'plant/stethos')",
    ),
    "certificate without its key": (
        lambda a: (
            a.replace("mqtt://localhost:1883", "mqtts://localhost")
            or a.replace("[trust]", 'client_certificate = "release.pub"\n[trust]')
        ),
        "agent.toml:6: upstream: client_certificate and client_key belong together (set both or neither)",
    ),
    "certificates without TLS": (
        lambda a: a.replace("[trust]", 'ca = "release.pub"\n[trust]'),
        "agent.toml:7: upstream.broker: certificates are of no use to mqtt:// (write mqtts://, or leave them out)",
    ),
    "missing CA": (
        lambda a: (
            a.replace("mqtt://localhost:1883", "mqtts://localhost") or a.replace("[trust]", 'ca = "ca.pem"\n[trust]')
        ),
        "agent.toml:11: upstream.ca: cannot read ca.pem: No such file or directory (check the path, or create the file)",
    ),
    "CA that is no PEM": (
        lambda a: (
            a.replace("mqtt://localhost:1883", "mqtts://localhost") or a.replace("[trust]", 'ca = "password"\n[trust]')
        ),
        "agent.toml:11: upstream.ca: password is not in PEM form (convert it with openssl)",
    ),
    "password without a name": (
        lambda a: a.replace('username = "line-3"\n', ""),
        "agent.toml:8: upstream.password: a password needs a username (add username = ...)",
    ),
    "inline password": (
        lambda a: a.replace('{ file = "password" }', '"hunter2"'),
        "agent.toml:9: upstream.password: expected a table, found str (its keys are credential, file)",
    ),
    "missing secret": (
        lambda a: (a.folder / "password").unlink(),
        "agent.toml:9: upstream.password: cannot read password: No such file or directory (check the path, or create the file)",
    ),
    "secret that others read": (
        lambda a: (a.folder / "password").chmod(0o640),
        "agent.toml:9: upstream.password: password is open to others (mode 0640) (chmod 600 password)",
    ),
    # durations and numbers
    "no duration": (
        lambda a: a.replace("[upstream]", 'health_every = "soon"\n[upstream]'),
        "agent.toml:6: agent.health_every: 'soon' is no duration; write one like '500ms', '30s', '10m', '1h' or '7d'",
    ),
    "duration out of range": (
        lambda a: a.replace("[trust]", 'keepalive = "100ms"\n[trust]'),
        "agent.toml:11: upstream.keepalive: '100ms' is outside of 1s to 12h",
    ),
    "deadline of zero": (
        lambda a: a.replace("[trust]", '[inference]\ndeadline = "0s"\n[trust]'),
        "agent.toml:12: inference.deadline: '0s' is outside of 10ms to 10m",
    ),
    "threads": (
        lambda a: a.replace("[trust]", "[inference]\nthreads = 0\n[trust]"),
        "agent.toml:12: inference.threads: 0 threads (write 1 to 256)",
    ),
    "outbox": (
        lambda a: a.replace("[trust]", "[outbox]\nmax_bytes = 0\n[trust]"),
        "agent.toml:12: outbox.max_bytes: 0 bytes hold no outage (write 1048576 or more)",
    ),
    "no rate": (
        lambda a: a.replace("1 per week", "never"),
        "agent.toml:28: machine[0].false_alarms: 'never' is no rate above zero; write one like '1 per month' or '2 per week'",
    ),
    "clear factor": (
        lambda a: a.replace("1 per week", '1 per week"\nclear_factor = 0.5\npriority = "high'),
        "agent.toml:29: machine[0].clear_factor: 0.5 is below 1 (10 is usual; 1 means no hysteresis)",
    ),
    # channels
    "reference without a channel": (
        lambda a: a.replace('"accel.y"', '"accel"'),
        "agent.toml:27: machine[0].channels[1]: 'accel' names no channel of a device (write DEVICE.CHANNEL)",
    ),
    "unknown device": (
        lambda a: a.replace('"accel.y"', '"acel.y"'),
        "agent.toml:27: machine[0].channels[1]: 'acel.y': there is no device 'acel' (did you mean 'accel'?)",
    ),
    "unknown channel": (
        lambda a: a.replace('"accel.y"', '"accel.tmp"'),
        "agent.toml:27: machine[0].channels[1]: the device 'accel' has no channel 'tmp' (did you mean 'temp'?)",
    ),
    "order": (
        lambda a: a.replace('"accel.x", "accel.y"', '"accel.y", "accel.x"'),
        (
            "agent.toml:27: machine[0].channels: the channels are not in the order of the model's contract "
            '(write channels = ["accel.x", "accel.y", "drive.current"])'
        ),
    ),
    "another channel": (
        lambda a: a.replace('"accel.y"', '"accel.temp"'),
        (
            "agent.toml:27: machine[0].channels: the model lacks y and has no use for accel.temp "
            "(it was trained on x, y, current, in this order)"
        ),
    ),
    "a channel twice": (
        lambda a: a.replace('"accel.y"', '"accel.x", "accel.y"'),
        (
            "agent.toml:27: machine[0].channels: the model takes each channel once, found accel.x, accel.x, accel.y, drive.current "
            "(it was trained on x, y, current, in this order)"
        ),
    ),
    "unit": (
        lambda a: a.bundle(energy_bundle(contract(("x", "[g]"), ("y", "m/s2"), ("current", "A")))),
        (
            "agent.toml:27: machine[0].channels[1]: 'accel.y' is in '[g]', the model was trained on 'm/s2' "
            "(convert it in the profile (scale and unit), or train again)"
        ),
    ),
    "rate": (
        lambda a: a.profile("drive-json", DRIVE.replace("rate_hz = 100.0", "rate_hz = 20.0")),
        (
            "agent.toml:27: machine[0].channels: the device 'drive' samples at 20 Hz, the model needs 100 Hz "
            "(make the device faster, or train a model for its rate)"
        ),
    ),
    # bundles
    "missing bundle": (
        lambda a: a.replace("pump.stethos", "pmup.stethos"),
        "agent.toml:26: machine[0].bundle: cannot read pmup.stethos: No such file or directory (check the path, or create the file)",
    ),
    "no key": (
        lambda a: a.replace('["release.pub"]', "[]"),
        "agent.toml:12: trust.keys: no key is trusted, so no bundle may run (add the .pub file of whoever signs bundles)",
    ),
    "missing key": (
        lambda a: (a.folder / "release.pub").unlink(),
        "agent.toml:12: trust.keys[0]: cannot read release.pub: No such file or directory (check the path, or create the file)",
    ),
}


@pytest.mark.parametrize("spoil", ONE_PROBLEM)
def test_a_mistake_has_its_own_message_at_its_own_line(agent: AgentFolder, spoil: str) -> None:
    mistake, expected = ONE_PROBLEM[spoil]
    mistake(agent)
    assert problems(agent) == [expected]


def flipped(data: bytes, at: bytes) -> bytes:
    place = data.index(at)
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def exchanged(bundle: bytes) -> bytes:
    """The zip made anew, intact, around another model under the old signature."""
    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(bundle)) as old, zipfile.ZipFile(result, "w") as new:
        for name in old.namelist():
            new.writestr(name, energy_model(3, 64) if name == "model.onnx" else old.read(name))
    return result.getvalue()


@pytest.mark.parametrize(
    ("spoil", "where", "what"),
    [
        (
            lambda a: (a.folder / "release.pub").write_text("x"),
            "agent.toml:12: trust.keys[0]: release.pub: ",
            "no public key in PEM form",
        ),
        (lambda a: a.bundle(b"PK"), "agent.toml:26: machine[0].bundle: pump.stethos: ", "zip file"),
        (
            lambda a: a.bundle(energy_bundle(CONTRACT, key=Ed25519PrivateKey.generate())),
            "agent.toml:26: machine[0].bundle: pump.stethos: ",
            "no trusted key signed this bundle",
        ),
        (
            lambda a: a.bundle(flipped(energy_bundle(CONTRACT), b"energy")),
            "agent.toml:26: machine[0].bundle: pump.stethos: ",
            "zip file",
        ),
        (
            lambda a: a.bundle(exchanged(energy_bundle(CONTRACT))),
            "agent.toml:26: machine[0].bundle: pump.stethos: ",
            "model.onnx is not what was signed",
        ),
        (
            lambda a: a.bundle(energy_bundle(CONTRACT, golden_error=0.1)),
            "agent.toml:26: machine[0].bundle: pump.stethos: ",
            "misses its golden vectors",
        ),
        (
            lambda a: a.replace("[trust]", '[inference]\ndevice = "tensorrt"\nrequired = true\n[trust]'),
            "agent.toml:12: inference.device: for pump.stethos: ",
            "requires TensorrtExecutionProvider",
        ),
    ],
)
def test_a_bundle_that_may_not_run_is_refused_with_its_reason(
    agent: AgentFolder, spoil: Spoil, where: str, what: str
) -> None:
    spoil(agent)
    [problem] = problems(agent)
    assert problem.startswith(where)
    assert what in problem


def test_duplicate_ids_are_refused_for_devices_and_machines(agent: AgentFolder) -> None:
    machine = agent.text[agent.text.index("[[machine]]") :]
    agent.text += machine
    agent.replace('id = "drive"', 'id = "accel"')
    agent.replace("drive.current", "accel.current")
    found = problems(agent)
    assert "agent.toml:20: device[1].id: the id 'accel' is used twice (give each device its own)" in found
    assert "agent.toml:30: machine[1].id: the id 'pump-1' is used twice (give each machine its own)" in found


def test_two_devices_on_one_port_are_found_through_a_symlink(agent: AgentFolder) -> None:
    (agent.folder / "by-id").symlink_to(agent.folder / "ttyACCEL")
    agent.text += '[[device]]\nid = "accel-2"\nprofile = "accel-cobs"\nserial = { port = "by-id" }\n'
    agent.write()
    assert problems(agent) == [
        "agent.toml:32: device[2].serial.port: the port ttyACCEL already belongs to the device 'accel' (give each device its own port)"
    ]


def test_mistakes_of_every_kind_come_in_one_list(agent: AgentFolder) -> None:
    agent.replace('state = "state"', 'stat = "state"')
    agent.replace("mqtt://localhost:1883", "mqtt://broker.plant")
    agent.replace('"accel-cobs"', '"nothing"')
    agent.replace("release.pub", "other.pub")
    agent.replace("pump.stethos", "other.stethos")
    agent.replace("1 per week", "seldom")
    agent.replace("drive.current", "drive.curent")
    (agent.folder / "password").chmod(0o644)
    places = [problem.split(": ")[1] for problem in problems(agent)]
    assert places == [
        "agent.stat",
        "upstream.broker",
        "upstream.password",
        "device[0].profile",
        "trust.keys[0]",
        "machine[0].false_alarms",
        "machine[0].channels[2]",
        "machine[0].bundle",
    ]


def test_channels_may_be_meant_by_their_full_names(agent: AgentFolder) -> None:
    agent.bundle(energy_bundle(contract(("accel.x", "[g]"), ("y", "[g]"), ("drive.current", "A"))))
    assert check(agent.config).machines["pump-1"].channels[2] == ChannelRef("drive", "current", 0)


@pytest.mark.parametrize(("rate_hz", "hold_cells"), [(1_000.0, 0), (50.0, 1), (30.0, 3), (20.0, 4)])
def test_a_slower_device_is_fine_where_the_contract_holds_its_values(
    agent: AgentFolder, rate_hz: float, hold_cells: int
) -> None:
    agent.profile("drive-json", DRIVE.replace("rate_hz = 100.0", f"rate_hz = {rate_hz}"))
    agent.bundle(energy_bundle(contract(("x", "[g]"), ("y", "[g]"), ("current", "A"), hold_cells=hold_cells)))
    assert check(agent.config).warnings == ()


def test_a_device_that_is_slower_by_a_little_is_a_warning(agent: AgentFolder) -> None:
    agent.profile("drive-json", DRIVE.replace("rate_hz = 100.0", "rate_hz = 99.6"))
    [warning] = check(agent.config).warnings
    assert "samples at 99.6 Hz, the model needs 100 Hz; one cell in 250 will be empty" in str(warning)


def test_a_port_that_is_not_there_is_a_warning_because_it_may_be_plugged_in_later(agent: AgentFolder) -> None:
    (agent.folder / "ttyACCEL").unlink()
    [warning] = check(agent.config).warnings
    assert f"device[0].serial.port: there is no {agent.folder}/ttyACCEL now" in str(warning)


@pytest.mark.parametrize(("rate_hz", "hold_cells"), [(94.0, 0), (49.0, 1), (30.0, 2)])
def test_a_device_that_leaves_cells_empty_is_refused(agent: AgentFolder, rate_hz: float, hold_cells: int) -> None:
    agent.profile("drive-json", DRIVE.replace("rate_hz = 100.0", f"rate_hz = {rate_hz}"))
    agent.bundle(energy_bundle(contract(("x", "[g]"), ("y", "[g]"), ("current", "A"), hold_cells=hold_cells)))
    [problem] = problems(agent)
    assert f"samples at {rate_hz:g} Hz" in problem


def test_a_budget_far_beyond_the_calibration_is_a_warning(agent: AgentFolder) -> None:
    agent.bundle(energy_bundle(CONTRACT, hours=WEEK_H / 101))
    [warning] = check(agent.config).warnings
    assert "machine[0].false_alarms: '1 per week' is far rarer than one in the 1.663 h" in str(warning)
    agent.bundle(energy_bundle(CONTRACT, hours=WEEK_H / 99))
    assert check(agent.config).warnings == ()


def test_a_calibration_on_no_data_at_all_supports_no_budget(agent: AgentFolder) -> None:
    agent.bundle(energy_bundle(CONTRACT, hours=0.0))
    [warning] = check(agent.config).warnings
    assert "far rarer than one in the 0 h" in str(warning)


def test_an_encrypted_broker_keeps_each_file_in_its_place(agent: AgentFolder) -> None:
    for name in ("ca", "certificate", "key"):
        (agent.folder / name).write_text("-----BEGIN X-----")
    agent.replace("mqtt://localhost:1883", "mqtts://broker.plant")
    agent.replace("[trust]", 'ca = "ca"\nclient_certificate = "certificate"\nclient_key = "key"\n[trust]')
    upstream = check(agent.config).upstream
    assert upstream.broker == Broker("broker.plant", 8883, True)
    assert (upstream.ca, upstream.certificate, upstream.key) == tuple(
        agent.folder / name for name in ("ca", "certificate", "key")
    )


def test_durations_reach_the_machine_under_their_names(agent: AgentFolder) -> None:
    agent.replace('"1 per week"', '"1 per week"\non_delay = "1s"\noff_delay = "2s"\nsummary_every = "3s"')
    machine = check(agent.config).machines["pump-1"]
    assert (machine.on_delay_ns, machine.off_delay_ns, machine.summary_every_ns) == (10**9, 2 * 10**9, 3 * 10**9)


def test_a_device_that_no_machine_uses_is_a_warning(agent: AgentFolder) -> None:
    (agent.folder / "tty2").touch()
    agent.text += '[[device]]\nid = "spare"\nprofile = "accel-cobs"\nserial = { port = "tty2", baud = 9600 }\n'
    agent.write()
    checked = check(agent.config)
    assert checked.devices["spare"].place == SerialPlace(str(agent.folder / "tty2"), 9600, "none", 1)
    [warning] = checked.warnings
    assert str(warning).endswith("agent.toml:29: device[2]: the device 'spare' is read, and no machine uses it")


def test_machines_with_one_model_share_its_session(agent: AgentFolder) -> None:
    agent.bundle((agent.folder / "pump.stethos").read_bytes(), "copy.stethos")
    machine = agent.text[agent.text.index("[[machine]]") :]
    agent.text += machine.replace("pump-1", "pump-2") + machine.replace("pump-1", "pump-3").replace("pump.", "copy.")
    agent.write()
    machines = check(agent.config).machines
    assert machines["pump-1"].session is machines["pump-2"].session is machines["pump-3"].session


def test_a_credential_is_read_from_systemds_folder(
    agent: AgentFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent.replace('{ file = "password" }', '{ credential = "password" }')
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "password").chmod(0o440)  # as systemd leaves it where it grants access by ACL
    assert check(agent.config).upstream.password == "hunter2"
