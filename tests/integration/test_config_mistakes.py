"""Every mistake in the file's form, its devices, brokers and numbers has its own message, at its own line."""

from __future__ import annotations

import pytest

from tests.harness.agent_folder import ACCEL, AgentFolder, Spoil, contract, energy_bundle

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
    "a birth that cannot be asked for": (
        lambda a: a.replace("plant/drive/+", 'plant/drive/+", request_rebirth = true, username = "x'),
        (
            "agent.toml:22: device[1].mqtt.request_rebirth: the profile 'drive-json' is no Sparkplug node, which alone has births "
            "(leave request_rebirth out)"
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
    "well too soon": (
        lambda a: a.replace("[upstream]", 'well_after = "0s"\n[upstream]'),
        "agent.toml:6: agent.well_after: '0s' is outside of 1s to 1d",
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
    "an empty state folder": (
        lambda a: a.replace('state = "state"', 'state = ""'),
        "agent.toml:4: agent.state: the path is empty (name a folder, as in /var/lib/stethos)",
    ),
    "an empty recording folder": (
        lambda a: a.replace("[trust]", '[record]\nfolder = ""\n[trust]'),
        "agent.toml:12: record.folder: the path is empty (name a folder)",
    ),
    "metrics that nobody reads": (
        lambda a: a.replace("[trust]", '[metrics]\ntextfile = "stethos.txt"\n[trust]'),
        "agent.toml:12: metrics.textfile: 'stethos.txt' is no name that node_exporter reads (let it end in .prom)",
    ),
}


@pytest.mark.parametrize(("spoil", "expected"), ONE_PROBLEM.values(), ids=ONE_PROBLEM)
def test_a_mistake_has_its_own_message_at_its_own_line(agent: AgentFolder, spoil: Spoil, expected: str) -> None:
    spoil(agent)
    assert agent.problems() == [expected]


def test_duplicate_ids_are_refused_for_devices_and_machines(agent: AgentFolder) -> None:
    machine = agent.text[agent.text.index("[[machine]]") :]
    agent.text += machine
    agent.replace('id = "drive"', 'id = "accel"')
    agent.replace("drive.current", "accel.current")
    found = agent.problems()
    assert "agent.toml:20: device[1].id: the id 'accel' is used twice (give each device its own)" in found
    assert "agent.toml:30: machine[1].id: the id 'pump-1' is used twice (give each machine its own)" in found


def test_two_devices_on_one_port_are_found_through_a_symlink(agent: AgentFolder) -> None:
    (agent.folder / "by-id").symlink_to(agent.folder / "ttyACCEL")
    agent.text += '[[device]]\nid = "accel-2"\nprofile = "accel-cobs"\nserial = { port = "by-id" }\n'
    agent.write()
    assert agent.problems() == [
        "agent.toml:32: device[2].serial.port: the port ttyACCEL already belongs to the device 'accel' (give each device its own port)"
    ]
