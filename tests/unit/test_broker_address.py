"""A broker's URL is read strictly, and knows whether it leaves this machine."""

from __future__ import annotations

import pytest

from agent.config.broker import Broker, parse_broker
from agent.config.connections import check_base, check_filter
from agent.config.findings import Findings


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("mqtt://localhost", Broker("localhost", 1883, False)),
        ("mqtts://broker.plant", Broker("broker.plant", 8883, True)),
        ("mqtt://10.0.0.1:1884", Broker("10.0.0.1", 1884, False)),
        ("mqtts://[fd00::1]:9", Broker("fd00::1", 9, True)),
    ],
)
def test_addresses(url: str, expected: Broker) -> None:
    assert parse_broker(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost",
        "localhost:1883",
        "tcp://host",
        "mqtt://",
        "mqtt://:1883",
        "mqtt://h:0",
        "mqtt://h:65536",
        "mqtt://h:x",
        "mqtt://h/x",
        "mqtt://h h",
        "mqtt://h?x",
        "mqtt://[::1",
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError):
        parse_broker(url)


def test_a_login_in_the_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(ValueError, match="no login") as caught:
        parse_broker("mqtt://me:hunter2@host:port")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("[::1]", True),
        ("10.0.0.1", False),
        ("localhost.evil", False),
    ],
)
def test_loopback_is_told_from_the_network(host: str, loopback: bool) -> None:
    assert parse_broker(f"mqtt://{host}").loopback is loopback


def problems_of(check: object, text: str, tmp_path: object) -> int:
    findings = Findings(str, tmp_path)
    check(("topic",), text, findings)
    return len(findings.problems)


@pytest.mark.parametrize(
    ("topic", "fine"),
    [
        ("a", True),
        ("a/b", True),
        ("+/b/#", True),
        ("#", True),
        ("/a", True),
        ("", False),
        ("a+", False),
        ("a/#/b", False),
        ("a#", False),
        ("a\0", False),
        ("a" * 65_536, False),
    ],
)
def test_topic_filters(topic: str, fine: bool, tmp_path: object) -> None:
    assert problems_of(check_filter, topic, tmp_path) == (not fine)


@pytest.mark.parametrize(
    ("base", "fine"),
    [
        ("stethos", True),
        ("plant/stethos", True),
        ("", False),
        ("/a", False),
        ("a/", False),
        ("a//b", False),
        ("+", False),
        ("$SYS", False),
        ("a" * 257, False),
    ],
)
def test_bases_of_topics(base: str, fine: bool, tmp_path: object) -> None:
    assert problems_of(check_base, base, tmp_path) == (not fine)
