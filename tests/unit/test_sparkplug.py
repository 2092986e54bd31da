"""Sparkplug B: births name what data means, deaths end it, sequence numbers show what was lost; payloads by Google's library."""

import math

import numpy as np
import pytest

from agent.decode.decoder import Decoder
from agent.decode.encode import Encoder
from agent.decode.sparkplug_payload import Metric, Payload, read, signed, write
from agent.types import Chunk, Quality, TimeQuality
from tests.harness.profiles import make
from tests.harness.sparkplug_peer import Payload as PeerPayload
from tests.harness.sparkplug_peer import payload

T0_MS = 1_700_000_000_000
T0 = T0_MS * 1_000_000
BODY = """
framing = { kind = "message", max_frame_bytes = 1000000 }
time = { kind = "device" }
channel = [{ name = "t", unit = "Cel" }, { name = "a", unit = "A" }, { name = "s", unit = "1", states = { idle = 5 } }]
[sparkplug.fields]
t = { metric = "Temp" }
a = { metric = "Amps", device = "pump" }
s = { metric = "State", device = "pump" }
"""
NODE = make(BODY, transport="mqtt")
GOOD, MISSING, STALE = Quality.GOOD, Quality.MISSING, Quality.STALE


class Node:
    """Sends messages as an edge node would, with its sequence numbers."""

    def __init__(self):
        self.decoder = Decoder(NODE, "d")
        self.seq = 255

    def send(self, kind, *metrics, device="", seq=None, node="n", **fields):
        self.seq = (self.seq + 1) % 256 if seq is None else seq
        numbered = {} if kind == "NDEATH" else {"seq": self.seq}
        data = payload(*metrics, **{"timestamp": T0_MS, **numbered, **fields})
        topic = "/".join(["spBv1.0", "g", kind, node, *([device] if device else [])])
        return self.decoder.feed([Chunk("d", data, T0 + 999, topic)])

    def born(self, bd_seq=0):
        self.send("NBIRTH", bd(bd_seq), {"name": "Temp", "alias": 1, "datatype": 9, "float_value": 20.0}, seq=0)
        self.send(
            "DBIRTH",
            {"name": "Amps", "alias": 2, "datatype": 3, "int_value": 0},
            {"name": "State", "alias": 3, "datatype": 12, "string_value": "idle"},
            device="pump",
        )
        return self

    def count(self, name):
        return self.decoder.counters[name]


def bd(number):
    return {"name": "bdSeq", "datatype": 8, "long_value": number}


def test_births_carry_values_too():
    node = Node()
    birth = node.send("NBIRTH", bd(0), {"name": "Temp", "alias": 1, "datatype": 9, "float_value": 0.0})
    assert birth.quality.tolist() == [[GOOD, MISSING, MISSING]]
    assert birth.values[0, 0] == 0
    born = node.send("DBIRTH", {"name": "State", "alias": 3, "datatype": 12, "string_value": "idle"}, device="pump")
    assert born.values[0, 2] == 5
    assert node.count("births") == 2


def test_data_comes_by_alias_or_by_name():
    node = Node().born()
    assert node.send("DDATA", {"alias": 2, "int_value": 7}, device="pump").values[0, 1] == 7
    assert node.send("DDATA", {"name": "Amps", "int_value": 8}, device="pump").values[0, 1] == 8
    assert node.send("NDATA", {"alias": 2, "int_value": 9}) is None  # the pump's alias, on the node's topic
    assert node.count("skipped") == 1


def test_data_before_a_birth_is_unborn():
    node = Node()
    assert node.send("NDATA", {"alias": 1, "float_value": 1.0}) is None
    assert node.send("DDATA", {"alias": 2, "int_value": 1}, device="pump") is None
    assert node.send("DBIRTH", {"name": "Amps", "alias": 2, "int_value": 1}, device="pump") is None
    assert node.count("unborn") == 3
    node.send("NBIRTH", bd(0), {"name": "Temp", "alias": 1, "float_value": 1.0})
    assert node.send("DDATA", {"alias": 2, "int_value": 1}, device="pump") is None
    assert node.count("unborn") == 4
    assert node.decoder.balance().missing == node.decoder.frame_balance().missing == 0


def test_a_node_birth_makes_its_devices_be_born_again_under_other_aliases():
    node = Node().born()
    node.send("NBIRTH", bd(1), {"name": "Temp", "alias": 2, "datatype": 9, "float_value": 1.0}, seq=0)
    assert node.send("DDATA", {"alias": 2, "int_value": 5}, device="pump") is None
    assert node.count("unborn") == 1
    assert node.send("NDATA", {"alias": 2, "float_value": 3.0}).values[0, 0] == 3


def test_the_will_of_an_earlier_session_ends_nothing():
    node = Node().born(bd_seq=4)
    assert node.send("NDEATH", bd(3), seq=node.seq) is None
    assert node.count("stale_deaths") == 1
    assert node.send("NDATA", {"alias": 1, "float_value": 1.0}) is not None
    assert node.send("NDEATH", bd(4), seq=node.seq) is None
    assert node.count("deaths") == 1
    assert node.send("NDATA", {"alias": 1, "float_value": 1.0}) is None
    assert node.count("unborn") == 1


def test_a_device_dies_alone():
    node = Node().born()
    assert node.send("DDEATH", device="pump") is None
    assert node.send("DDATA", {"alias": 2, "int_value": 1}, device="pump") is None
    assert node.send("NDATA", {"alias": 1, "float_value": 1.0}).values[0, 0] == 1
    assert (node.count("deaths"), node.count("unborn"), node.count("lost")) == (1, 1, 0)


def test_lost_messages_are_counted_across_the_wrap():
    node = Node().born()
    node.send("NDATA", {"alias": 1, "float_value": 1.0}, seq=254)
    assert node.count("lost") == 252
    batch = node.send("NDATA", {"alias": 1, "float_value": 1.0}, seq=1)
    assert batch.lost == 2
    assert node.count("lost") == 254


def test_what_was_lost_before_a_message_without_values_is_not_forgotten():
    node = Node().born()
    assert node.send("DDATA", {"alias": 9, "int_value": 1}, device="fan", seq=4) is None
    assert node.send("NDATA", {"alias": 1, "float_value": 1.0}).lost == 2


def test_a_repeated_message_gives_nothing_twice():
    node = Node().born()
    assert node.send("NDATA", {"alias": 1, "float_value": 1.0}) is not None
    assert node.send("NDATA", {"alias": 1, "float_value": 1.0}, seq=node.seq) is None
    assert (node.count("repeated_messages"), node.count("lost")) == (1, 0)


def test_historical_values_fill_a_gap_but_never_go_back():
    node = Node().born()
    late = {"alias": 1, "float_value": 1.0, "is_historical": True}
    assert node.send("NDATA", {**late, "timestamp": T0_MS + 1_000}).t_ns.tolist() == [T0 + 10**9]
    node.send("NDATA", {"alias": 1, "float_value": 2.0, "timestamp": T0_MS + 2_000})
    assert node.send("NDATA", {**late, "timestamp": T0_MS + 1_500}) is None
    assert node.count("historical") == 1


def test_a_stamp_in_the_far_future_makes_nothing_else_history():
    node = Node().born()
    late = {"alias": 1, "float_value": 1.0, "is_historical": True}
    node.send("NDATA", {"alias": 1, "float_value": 2.0, "timestamp": T0_MS + 1_000})
    node.send("NDATA", {"alias": 1, "float_value": 3.0, "timestamp": T0_MS + 10 * 365 * 86_400_000})
    assert node.send("NDATA", {**late, "timestamp": T0_MS + 1_500}).t_ns.tolist() == [T0 + 1_500_000_000]
    assert node.send("NDATA", {**late, "timestamp": T0_MS + 500}) is None
    assert node.count("historical") == 1


@pytest.mark.parametrize(
    ("properties", "value", "flags"),
    [
        ({}, 4, GOOD),
        ({"Quality": 192}, 4, GOOD),
        ({"Quality": 500}, 4, STALE),
        ({"Quality": 0}, math.nan, STALE | MISSING),
    ],
)
def test_quality_is_the_devices_own_word(properties, value, flags):
    batch = Node().born().send("NDATA", {"alias": 1, "float_value": 4.0, "properties": properties})
    np.testing.assert_array_equal(batch.values[0, 0], value)
    assert batch.quality[0, 0] == flags


def test_null_is_no_reading():
    node = Node().born()
    batch = node.send("DDATA", {"alias": 2, "is_null": True}, {"alias": 3, "string_value": "7"}, device="pump")
    assert batch.quality.tolist() == [[MISSING, MISSING, GOOD]]
    assert node.send("NDATA", {"alias": 1, "is_null": True}) is None
    assert node.count("skipped") == 1


def test_times_come_from_the_metric_then_the_message_then_the_arrival():
    node = Node().born()
    metric = {"alias": 1, "float_value": 1.0}
    assert node.send("NDATA", {**metric, "timestamp": T0_MS + 5}).t_ns.tolist() == [T0 + 5_000_000]
    assert node.send("NDATA", dict(metric), timestamp=T0_MS + 7).t_ns.tolist() == [T0 + 7_000_000]
    arrived = node.send("NDATA", dict(metric), timestamp=2**64 - 1)
    assert arrived.t_ns.tolist() == [T0 + 999]
    assert arrived.time_quality is TimeQuality.ARRIVAL


def test_metrics_of_several_times_are_several_samples():
    node = Node().born()
    later = [{"alias": 2, "int_value": i, "timestamp": T0_MS + i} for i in (3, 1, 2)]
    batch = node.send("DDATA", *later, {"alias": 3, "string_value": "9", "timestamp": T0_MS + 2}, device="pump")
    np.testing.assert_array_equal(batch.values[:, 1:], [[1, math.nan], [2, 9], [3, math.nan]])


@pytest.mark.parametrize(
    ("datatype", "wire", "value"),
    [(1, 0xFF, -1), (1, 0xFFFFFFFF, -1), (2, 0x8000, -32768), (3, 0xFFFFFFF4, -12), (3, 5, 5), (4, 2**64 - 3, -3), (5, 255, 255),
     (7, 0xFFFFFFFF, 2**32 - 1), (8, 2**63, 2**63), (None, 7, 7), (9, 1.5, 1.5), (12, "x", "x"), (3, None, None)],
)  # fmt: skip
def test_signed_integers_travel_as_unsigned_ones(datatype, wire, value):
    assert signed(wire, datatype) == value


def test_a_unit_that_a_birth_states_is_held_against_the_channel():
    node = Node()
    metric = {"name": "Temp", "alias": 1, "float_value": 70.0, "properties": {"engUnit": "degF"}}
    assert node.send("NBIRTH", bd(0), metric).values[0, 0] == 70
    assert node.count("unit_errors") == 1


@pytest.mark.parametrize(
    "topic",
    ["", "a/b", "spBv1.0/g/NDATA", "spBv1.0/g/XDATA/n", "spAv1.0/g/NDATA/n", "spBv1.0/g/NDATA/n/pump", "spBv1.0/g/DDATA/n",
     "spBv1.0/g/DDATA/n/pump/x"],
)  # fmt: skip
def test_other_topics_are_decode_errors(topic):
    decoder = Decoder(NODE, "d")
    assert decoder.feed([Chunk("d", payload(bd(0), seq=0), T0, topic)]) is None
    assert decoder.counters["decode_errors"] == 1


def test_commands_of_others_are_skipped():
    node = Node().born()
    assert node.send("NCMD", {"name": "Node Control/Rebirth", "boolean_value": True}, seq=node.seq) is None
    assert node.send("NDATA", {"alias": 1, "float_value": 1.0}).lost == 0


def test_births_and_nodes_without_end_leave_bounded_memory():
    node = Node().born()
    for group in range(100):
        metrics = [{"name": f"m{i}", "alias": i, "datatype": 9, "float_value": 1.0} for i in range(10, 200)]
        node.send("NBIRTH", bd(group), *metrics, node=f"n{group}", seq=0)
        for device in range(20):
            node.send("DBIRTH", *[dict(metric) for metric in metrics[:3]], node=f"n{group}", device=f"x{device}")
    sessions = node.decoder._format._sessions._sessions
    assert len(sessions) <= 64
    assert all(len(session.names) <= 3 and len(session.born) <= 2 for session in sessions.values())


class TestPayload:
    def test_our_writer_and_googles_reader_agree(self):
        metric = Metric("Temp", 3, T0_MS, 10, value=21.5, properties={"engUnit": "Cel", "Quality": 192})
        ours = write(
            Payload(T0_MS, 7, [metric, Metric(alias=2, value=True), Metric(alias=4, value="x", is_historical=True)])
        )
        message = PeerPayload.FromString(ours)
        assert (message.timestamp, message.seq, len(message.metrics)) == (T0_MS, 7, 3)
        assert message.metrics[0].double_value == 21.5
        assert list(message.metrics[0].properties.keys) == ["engUnit", "Quality"]
        assert message.metrics[0].properties.values[1].int_value == 192
        assert message.metrics[1].boolean_value
        assert message.metrics[2].string_value == "x"
        assert message.metrics[2].is_historical
        message.DiscardUnknownFields()
        assert message.ByteSize() == len(ours)  # nothing in it was unknown

    def test_fields_that_are_not_wanted_are_passed_over(self):
        data = payload(
            {"name": "n", "alias": 2**40, "is_transient": True, "bytes_value": b"\x00\xff", "properties": {"a": "b"}},
            uuid="u", body=b"\x08\x96", seq=1,
        )  # fmt: skip
        found = read(data)
        assert found == Payload(None, 1, [Metric("n", 2**40, properties={"a": "b"})])


class TestEncoder:
    def test_births_come_first_and_data_by_alias(self):
        encoder = Encoder(NODE)
        birth = encoder.messages([20.0, math.nan, 5.0], T0, "g/n")
        assert [topic for topic, _ in birth] == ["spBv1.0/g/NBIRTH/n", "spBv1.0/g/DBIRTH/n/pump"]
        metrics = PeerPayload.FromString(birth[1][1]).metrics
        assert [(metric.name, metric.alias, metric.is_null) for metric in metrics] == [
            ("Amps", 2, True),
            ("State", 3, False),
        ]
        data = encoder.messages([math.nan, 1.5, 5.0], T0, "g/n")
        assert [topic for topic, _ in data] == ["spBv1.0/g/DDATA/n/pump"]
        assert [(metric.name, metric.alias) for metric in PeerPayload.FromString(data[0][1]).metrics] == [
            ("", 2),
            ("", 3),
        ]
        assert [PeerPayload.FromString(message).seq for _, message in birth + data] == [0, 1, 2]

    def test_its_will_is_the_death_of_its_birth(self):
        encoder, decoder = Encoder(NODE), Decoder(NODE, "d")
        sent = [
            *encoder.messages([1.0, 2.0, 3.0], T0, "g/n"),
            encoder.will("g/n"),
            *encoder.messages([1.0, 2.0, 3.0], T0, "g/n"),
        ]
        decoder.feed([Chunk("d", data, T0, topic) for topic, data in sent])
        assert (decoder.counters["births"], decoder.counters["deaths"], decoder.counters["unborn"]) == (2, 1, 2)

    def test_a_frame_without_its_topic_is_refused(self):
        with pytest.raises(ValueError, match="topics"):
            Encoder(NODE).frame([1.0, 2.0, 3.0], T0)
