"""A node whose birth was missed is asked for it at once, then ever more seldom, and nobody is asked without end."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from agent.decode.decoder import Decoder
from agent.decode.sparkplug_rebirth import FIRST_WAIT_NS, LONGEST_WAIT_NS, Rebirths
from agent.types import Chunk
from tests.harness.profiles import shipped
from tests.harness.sparkplug_peer import Payload, payload

SECOND = 1_000_000_000
T0 = 1_700_000_000 * SECOND
NODE = ("plant", "node")


def asked_at(rebirths, moments, node=NODE):
    return [at for at in moments if rebirths.ask(node, at) is not None]


def test_a_node_that_never_answers_is_asked_ever_more_seldom():
    seconds = asked_at(Rebirths(), range(T0, T0 + 1_500 * SECOND, SECOND))
    waits = [(later - earlier) // SECOND for earlier, later in pairwise(seconds)]
    assert waits == [5, 10, 20, 40, 80, 160, 300, 300, 300]


def test_after_a_long_quiet_it_begins_anew():
    rebirths = Rebirths()
    asked_at(rebirths, range(T0, T0 + 100 * SECOND, SECOND))
    later = T0 + 100 * SECOND + 2 * LONGEST_WAIT_NS
    assert asked_at(rebirths, [later, later + FIRST_WAIT_NS - 1, later + FIRST_WAIT_NS]) == [
        later,
        later + FIRST_WAIT_NS,
    ]


def test_endless_names_get_commands_no_faster_than_the_bound():
    rebirths = Rebirths()
    asked = [at for at in range(T0, T0 + 20 * SECOND, SECOND // 100) if rebirths.ask(("g", str(at)), at) is not None]
    for first, after in zip(asked, asked[64:], strict=False):
        assert after - first >= FIRST_WAIT_NS
    assert len(asked) >= 4 * 64


def test_nodes_wait_for_themselves_alone():
    rebirths = Rebirths()
    assert rebirths.ask(NODE, T0) is not None
    assert rebirths.ask(("plant", "other"), T0) is not None
    assert rebirths.ask(NODE, T0 + 1) is None


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, SECOND)), max_size=300))
def test_no_node_is_asked_twice_within_the_shortest_wait_and_the_memory_is_bounded(steps):
    rebirths, now, last = Rebirths(), T0, {}
    for name, step_ns in steps:
        now += step_ns
        node = ("g", str(name % 60))
        if rebirths.ask(node, now) is not None:
            assert now - last.get(node, -T0) >= FIRST_WAIT_NS
            last[node] = now
    for name in range(200):
        rebirths.ask(("endless", str(name)), now)
    assert len(rebirths._asked) <= 64


def test_the_command_is_what_googles_reader_takes_for_a_rebirth():
    command = Rebirths().ask(NODE, T0 + 7)
    message = Payload.FromString(command.payload)
    assert command.topic == "spBv1.0/plant/NCMD/node"
    assert (message.timestamp, message.HasField("seq")) == (T0 // 1_000_000, False)
    [metric] = message.metrics
    assert (metric.name, metric.datatype, metric.boolean_value) == ("Node Control/Rebirth", 11, True)


class TestDecoder:
    def commands(self, *messages):
        decoder = Decoder(shipped("sparkplug-node"), "d")
        for number, (topic, data) in enumerate(messages):
            decoder.feed([Chunk("d", data, T0 + number, topic)])
        return [command.topic for command in decoder.commands], decoder

    def test_data_of_an_unborn_node_make_one_command(self):
        data = payload({"alias": 1, "double_value": 1.0}, seq=3)
        topics, decoder = self.commands(*[("spBv1.0/plant/NDATA/node", data)] * 5)
        assert topics == ["spBv1.0/plant/NCMD/node"]
        assert decoder.counters["unborn"] == 5

    def test_a_device_without_its_birth_asks_its_node(self):
        birth = payload({"name": "bdSeq", "long_value": 0}, seq=0)
        data = payload({"alias": 2, "double_value": 1.0}, seq=1)
        topics, _ = self.commands(("spBv1.0/plant/NBIRTH/node", birth), ("spBv1.0/plant/DDATA/node/pump", data))
        assert topics == ["spBv1.0/plant/NCMD/node"]

    def test_births_deaths_and_commands_ask_nobody(self):
        seen = [(f"spBv1.0/plant/{kind}/node", payload({"name": "bdSeq", "long_value": 0}, seq=0))
                for kind in ("NDEATH", "NCMD", "NBIRTH")]  # fmt: skip
        assert self.commands(*seen)[0] == []

    def test_where_nobody_takes_the_commands_they_are_bounded(self):
        data = payload({"alias": 1, "double_value": 1.0}, seq=3)
        topics, _ = self.commands(*[(f"spBv1.0/plant/NDATA/n{number}", data) for number in range(200)])
        assert len(topics) == 64
