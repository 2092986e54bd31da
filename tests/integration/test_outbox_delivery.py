"""Outbox and link together on mosquitto: whatever happens to the broker, every message arrives, and then is forgotten."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from agent.clock import SystemClock
from agent.outbox.writer import OutboxWriter
from agent.types import Commit, Kind
from agent.upstream.link import Link
from tests.harness.broker import Broker, Received, Subscriber, wait_until
from tests.harness.link import running, settings_for
from tests.harness.outbox import a_message, open_outbox, running_writer
from tests.harness.proxy import Proxy

ALARM = "stethos/line-3/alarm"
SUMMARY = "stethos/line-3/summary"


@contextlib.contextmanager
def outbox_and_link(path: Path, port: int, **options: int) -> Iterator[tuple[OutboxWriter, Link]]:
    link = Link(settings_for(port), SystemClock())
    with running_writer(path, link, **options) as writer, running(link, writer):
        yield writer, link


def keys(messages: list[Received]) -> list[str]:
    return [message.payload.rstrip(b".").decode() for message in messages if message.topic in {ALARM, SUMMARY}]


def submit(writer: OutboxWriter, *names: str, kind: Kind = Kind.ALARM) -> None:
    for name in names:
        writer.submit(Commit((a_message(name, kind),)), 30.0)


def test_every_row_arrives_once_and_is_forgotten_on_its_puback(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    names = [f"a{n}" for n in range(500)]
    with (
        Broker(tmp_path) as broker,
        Subscriber(broker.host, broker.port) as consumer,
        outbox_and_link(path, broker.port) as (writer, link),
    ):
        submit(writer, *names)
        assert writer.drain(30.0)
        consumer.wait_for(lambda seen: len(keys(seen)) == 500)
        assert keys(consumer.messages) == names
        assert writer.status is not None
        assert writer.status.balance.as_dict() == {"in": 500, "out": 500, "held": 0, "dropped": 0}
        counted = link.counters.snapshot()
        assert counted["sent"] == counted["acked"] == 501  # with the birth
    outbox = open_outbox(path)
    assert outbox.next_rows(1) == []


def emptied(writer: OutboxWriter) -> bool:
    status = writer.status
    return status is not None and status.waiting_commits == status.balance.held == 0


def test_a_cable_cut_amid_traffic_loses_nothing_and_repeats_are_the_same_message(tmp_path: Path) -> None:
    names = [f"a{n}" for n in range(600)]
    with (
        Broker(tmp_path) as broker,
        Proxy(broker.port) as cable,
        Subscriber(broker.host, broker.port, ALARM) as consumer,
        outbox_and_link(tmp_path / "outbox.db", cable.port) as (writer, link),
    ):
        for part in range(3):
            submit(writer, *names[part * 200 : part * 200 + 200])
            consumer.wait_for(lambda seen, part=part: len(set(keys(seen))) > part * 200 + 20, 30.0)
            cable.cut()
            cable.plug()
        wait_until(lambda: emptied(writer), 60.0, "an empty outbox")
        seen = consumer.wait_for(lambda seen: len(set(keys(seen))) == 600)
        assert link.status.reconnects == 3
        assert writer.status is not None
        assert writer.status.balance.as_dict() == {"in": 600, "out": 600, "held": 0, "dropped": 0}
    assert {message.payload for message in seen} == {a_message(name).payload for name in names}


def test_what_comes_while_the_broker_is_dead_arrives_when_it_is_back(tmp_path: Path) -> None:
    before, meanwhile = [f"a{n}" for n in range(100)], [f"b{n}" for n in range(300)]
    with (
        Broker(tmp_path) as broker,
        Proxy(broker.port) as cable,
        Subscriber(broker.host, broker.port, ALARM) as consumer,
        outbox_and_link(tmp_path / "outbox.db", cable.port) as (writer, link),
    ):
        submit(writer, *before)
        consumer.wait_for(lambda seen: keys(seen) == before, 30.0)
        wait_until(lambda: emptied(writer), 30.0, "an empty outbox")
        cable.cut()
        broker.kill()
        submit(writer, *meanwhile)
        broker.start()
        consumer.wait_subscribed(2)
        assert keys(consumer.messages) == before
        cable.plug()
        consumer.wait_for(lambda seen: keys(seen) == before + meanwhile, 30.0)
        wait_until(lambda: emptied(writer), 30.0, "an empty outbox")
        assert link.status.protocol == "5"


def test_a_row_refused_by_the_access_list_waits_and_arrives_when_it_is_allowed(tmp_path: Path) -> None:
    acl = tmp_path / "acl"
    acl.write_text(f"topic readwrite stethos/line-3/+\ntopic deny {ALARM}\n")
    acl.chmod(0o600)
    with (
        Broker(tmp_path, [f"acl_file {acl}"]) as broker,
        outbox_and_link(tmp_path / "outbox.db", broker.port) as (writer, _),
    ):
        submit(writer, "a")
        submit(writer, "s", kind=Kind.SUMMARY)
        wait_until(lambda: writer.status is not None and ALARM in writer.status.refused, 30.0, "the refusal")
        wait_until(lambda: writer.status is not None and writer.status.balance.left == 1, 30.0, "the summary")
        assert writer.status is not None
        assert writer.status.refused == {ALARM: "Not authorized (0x87)"}
        assert writer.status.balance.held == 1
        acl.write_text("topic readwrite stethos/line-3/+\n")
        broker.reload()
        with Subscriber(broker.host, broker.port, ALARM) as consumer:
            consumer.wait_for(lambda seen: keys(seen) == ["a"], 30.0)
        wait_until(lambda: writer.status is not None and writer.status.balance.held == 0, 30.0, "an empty outbox")


def test_a_live_alarm_overtakes_the_summaries_of_a_long_outage_and_waits_for_older_alarms_alone(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    outbox = open_outbox(path, 20_000_000)
    outbox.commit([a_message(f"s{n}", Kind.SUMMARY) for n in range(6000)])
    outbox.commit([a_message(f"a{n}") for n in range(300)])
    outbox.close()
    with (
        Broker(tmp_path) as broker,
        Subscriber(broker.host, broker.port, ALARM, SUMMARY) as consumer,
        outbox_and_link(path, broker.port, max_bytes=20_000_000) as (writer, _),
    ):
        at_once = consumer.wait_for(lambda seen: len(seen) >= 400, 30.0)
        assert sorted(keys(at_once)[:300]) == sorted(f"a{n}" for n in range(300))
        submit(writer, "live")
        consumer.wait_for(lambda seen: len(seen) >= 6301, 100.0)
        behind = len(keys(consumer.messages)) - keys(consumer.messages).index("live")
        assert behind > 3000  # in truth nearly all; a slow disk lets some more go by before the alarm is on it
        wait_until(lambda: emptied(writer), 30.0, "an empty outbox")
