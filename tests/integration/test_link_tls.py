"""TLS through the life of its certificates: expiry and renewal on either side, another authority, both versions, wrong names; never a restart."""

from __future__ import annotations

import dataclasses
import shutil
import socket
import ssl
import time
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import MQTTErrorCode

from agent.upstream.settings import LinkSettings, Tls
from tests.harness.broker import Broker, wait_until
from tests.harness.certificates import Authority
from tests.harness.delivery import delivering
from tests.harness.link import settings_for

ASKS = ["require_certificate true", "use_identity_as_username true"]
# mosquitto's own option sets the oldest version that it takes, OpenSSL's the newest.
TLS_1_2_ONLY = """
openssl_conf = init
[init]
ssl_conf = ssl
[ssl]
system_default = versions
[versions]
MaxProtocol = TLSv1.2
"""
VERSIONS = ["1.2", "1.3"]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def broker_of(authority: Authority, *more: str, version: str = "1.3") -> Broker:
    """On localhost, with the certificate `broker` that was issued last, speaking this version of TLS alone."""
    folder = authority.folder
    only = folder / "openssl.cnf"
    only.write_text(TLS_1_2_ONLY)
    lines = [f"cafile {authority.ca}", f"certfile {folder / 'broker.pem'}", f"keyfile {folder / 'broker.key'}"]
    environment = {"OPENSSL_CONF": str(only)} if version == "1.2" else {}
    return Broker(folder, [*lines, f"tls_version tlsv{version}", *more], environment=environment)


def settings(broker: Broker, authority: Authority, host: str = "localhost", **files: Path) -> LinkSettings:
    return settings_for(broker.port, host=host, tls=Tls(ca=authority.ca, **files))


def spoken(broker: Broker, authority: Authority) -> str | None:
    """The version that is agreed on with whoever would take either."""
    context = ssl.create_default_context(cafile=str(authority.ca))
    certificate, key = authority.issue("somebody")
    context.load_cert_chain(certificate, key)
    with (
        socket.create_connection((broker.host, broker.port), 5) as connection,
        context.wrap_socket(connection, server_hostname="localhost") as encrypted,
    ):
        return encrypted.version()


@pytest.fixture
def agent(tmp_path: Path) -> Path:
    return tmp_path / "agent"


@pytest.mark.parametrize("version", VERSIONS)
def test_both_versions_of_tls_deliver_with_certificates_on_both_sides(
    authority: Authority, agent: Path, version: str
) -> None:
    authority.issue("broker", host="localhost")
    certificate, key = authority.issue("line-3")
    names = [f"a{n}" for n in range(60)]
    with broker_of(authority, *ASKS, version=version) as broker:
        assert spoken(broker, authority) == f"TLSv{version}"
        keys = settings(broker, authority, certificate=certificate, key=key)
        with delivering(agent, keys) as delivery:
            delivery.submit(*names, size_bytes=4_000)
            delivery.wait_emptied()
            assert delivery.link.status.reconnects == 0
        assert "u'line-3'" in broker.log()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("shown", ["nothing", "an expired one", "a stranger's"])
def test_a_client_certificate_that_does_not_do_is_told_in_words_and_renewed_on_disk(
    authority: Authority, agent: Path, version: str, shown: str
) -> None:
    authority.issue("broker", host="localhost")
    (stranger_folder := authority.folder / "other").mkdir()
    stranger = Authority(stranger_folder, "another authority")
    issued = {
        "nothing": {},
        "an expired one": dict(zip(("certificate", "key"), authority.issue("line-3", valid_s=-60), strict=True)),
        "a stranger's": dict(zip(("certificate", "key"), stranger.issue("line-3"), strict=True)),
    }[shown]
    words = {
        "nothing": ("certificate required", "handshake failure"),
        "an expired one": ("certificate expired",),
        "a stranger's": ("unknown ca",),
    }[shown]
    with (
        broker_of(authority, *ASKS, version=version) as broker,
        delivering(agent, settings(broker, authority, **issued)) as delivery,
    ):
        delivery.submit("a")
        wait_until(
            lambda: any(word in (delivery.link.status.last_error or "") for word in words),
            60.0,  # over TLS 1.3 a reset may overtake the words
            f"one of {words}, not {delivery.link.status.last_error}",
        )
        if issued:
            certificate, key = authority.issue("renewed", subject="line-3")
            shutil.copy(certificate, issued["certificate"])
            shutil.copy(key, issued["key"])
            delivery.wait_emptied()
            assert delivery.link.status.protocol == "5"


def test_a_box_so_slow_that_the_broker_has_hung_up_before_it_speaks_still_reads_why(
    authority: Authority, agent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over TLS 1.3 the handshake is over for the client before the broker has seen its certificate."""
    speak = mqtt.Client._send_connect

    def slowly(client: mqtt.Client, *arguments: Any) -> MQTTErrorCode:
        time.sleep(0.3)
        return speak(client, *arguments)

    monkeypatch.setattr(mqtt.Client, "_send_connect", slowly)
    authority.issue("broker", host="localhost")
    with broker_of(authority, *ASKS) as broker, delivering(agent, settings(broker, authority)) as delivery:
        delivery.submit("a")
        delivery.wait_error("certificate required")


def test_a_client_certificate_that_is_replaced_is_shown_at_the_next_connection(
    authority: Authority, agent: Path
) -> None:
    authority.issue("broker", host="localhost")
    certificate, key = authority.issue("line-3", subject="old name")
    with (
        broker_of(authority, *ASKS) as broker,
        delivering(agent, settings(broker, authority, certificate=certificate, key=key)) as delivery,
    ):
        delivery.submit("a")
        delivery.wait_emptied()
        authority.issue("line-3", subject="new name")
        assert "u'old name'" in broker.log()
        broker.kill()
        broker.start()
        delivery.submit("b")
        delivery.wait_emptied()
        assert "u'new name'" in broker.log()


def test_a_brokers_certificate_that_expires_is_refused_and_its_renewal_found(authority: Authority, agent: Path) -> None:
    authority.issue("broker", host="localhost", valid_s=-60)
    with broker_of(authority) as broker, delivering(agent, settings(broker, authority)) as delivery:
        delivery.submit("a")
        delivery.wait_error("is not trusted: certificate has expired")
        authority.issue("broker", host="localhost")
        broker.reload()
        delivery.wait_emptied()


def test_a_connection_outlives_the_renewal_of_the_brokers_certificate(authority: Authority, agent: Path) -> None:
    authority.issue("broker", host="localhost")
    with broker_of(authority) as broker, delivering(agent, settings(broker, authority)) as delivery:
        delivery.submit("a")
        delivery.wait_emptied()
        authority.issue("broker", host="localhost")
        broker.reload()
        delivery.submit("b")
        delivery.wait_emptied()
        assert delivery.link.status.reconnects == 0


def test_an_authority_is_replaced_without_losing_the_connection_for_longer_than_the_broker_is_away(
    tmp_path: Path, authority: Authority, agent: Path
) -> None:
    (folder := tmp_path / "next").mkdir()
    successor = Authority(folder, "the next authority")
    authority.issue("broker", host="localhost")
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(authority.ca.read_bytes())
    with broker_of(authority) as broker:
        both = dataclasses.replace(settings(broker, authority), tls=Tls(ca=trusted))
        with delivering(agent, both) as delivery:
            delivery.submit("a")
            delivery.wait_emptied()
            trusted.write_bytes(authority.ca.read_bytes() + successor.ca.read_bytes())
            broker.kill()
            for name in successor.issue("broker", host="localhost"):
                shutil.copy(name, authority.folder / name.name)
            broker.start()
            delivery.submit("b")
            delivery.wait_emptied()
            trusted.write_bytes(successor.ca.read_bytes())
            broker.kill()
            broker.start()
            delivery.submit("c")
            delivery.wait_emptied()
            trusted.write_bytes(authority.ca.read_bytes())
            broker.kill()
            broker.start()
            delivery.wait_error("is not trusted")


@pytest.mark.parametrize(
    ("host", "issued", "trusted"),
    [
        ("localhost", {"host": "localhost"}, True),
        ("127.0.0.1", {"address": "127.0.0.1"}, True),
        ("localhost", {"host": "elsewhere.plant"}, False),
        ("localhost", {"host": "*.plant"}, False),
        ("127.0.0.1", {"host": "localhost"}, False),
        ("127.0.0.1", {"address": "127.0.0.2"}, False),
        ("localhost", {}, False),
    ],
)
def test_a_name_that_the_certificate_does_not_bear_is_refused(
    authority: Authority, agent: Path, host: str, issued: dict[str, str], trusted: bool
) -> None:
    authority.issue("broker", **issued)
    with broker_of(authority) as broker, delivering(agent, settings(broker, authority, host)) as delivery:
        if trusted:
            delivery.wait_connected()
        else:
            delivery.wait_error("is not trusted: ")
            assert not delivery.link.status.connected


def test_a_broker_in_the_clear_where_tls_is_expected_is_refused_without_the_password(
    tmp_path: Path, authority: Authority, agent: Path
) -> None:
    with Broker(tmp_path) as broker:
        known = dataclasses.replace(settings(broker, authority), username="line-3", password="secret")
        with delivering(agent, known) as delivery:
            wait_until(lambda: delivery.link.status.last_error is not None, 30.0, "a refusal")
            assert not delivery.link.status.connected
        assert "line-3" not in broker.log()
