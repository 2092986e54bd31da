"""Start-up commands as a pure conversation: which bytes are the answer, which are data, and what is wrong with a command."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.decode.profile import parse_profile
from agent.decode.schema import StartupCommand
from agent.decode.startup import REACH_BYTES, Conversation, payload, problems, show, unanswered
from agent.errors import ConfigError
from tests.harness.profiles import ARRIVING_LINES, STAMPED_JSON, profile_text

START = StartupCommand(send="START\r\n", expect="OK [0-9]+\r\n")


def test_what_follows_the_answer_is_data_and_what_precedes_it_is_not() -> None:
    conversation = Conversation(START)
    assert conversation.feed(b"1.0,2.0\nOK ") is None
    assert conversation.feed(b"7\r\n3.0,4.0\n") == b"3.0,4.0\n"
    assert conversation.passed_bytes == len(b"1.0,2.0\nOK 7\r\n")
    assert conversation.abandon() == b""


@given(
    st.binary(max_size=200).filter(lambda noise: b"OK" not in noise),
    st.lists(st.integers(1, 50)),
    st.binary(max_size=50),
)
def test_an_answer_is_found_however_it_is_cut_and_no_byte_goes_astray(
    noise: bytes, cuts: list[int], data: bytes
) -> None:
    conversation, stream, rest = Conversation(START), noise + b"OK 12\r\n", None
    position = 0
    for cut in [*cuts, len(stream)]:
        piece, position = stream[position : position + cut], position + cut
        rest = conversation.feed(piece)
        if rest is not None:
            break
    rest = (rest or b"") + stream[position:]
    assert conversation.passed_bytes + len(rest) == len(stream)
    assert rest == b""


def test_hex_answers_are_found_as_they_are() -> None:
    command = StartupCommand(send_hex="01 03", expect_hex="06 5b")
    conversation = Conversation(command)
    assert payload(command) == b"\x01\x03"
    assert conversation.feed(b"\xff\x06") is None
    assert conversation.feed(b"\x5b\x00\x01") == b"\x00\x01"


def test_a_device_that_streams_and_never_answers_costs_bounded_memory() -> None:
    conversation = Conversation(START)
    for _ in range(100):
        assert conversation.feed(b"x" * 1_000) is None
    assert len(conversation._received) == REACH_BYTES
    assert len(conversation.abandon()) == REACH_BYTES
    assert conversation.passed_bytes == 100_000


@pytest.mark.parametrize(
    ("command", "received", "what"),
    [
        (
            START,
            b"ERR 5\r\n",
            r"the start-up command 'START\r\n' was not answered by 'OK [0-9]+\r\n' in 3 tries: instead came 'ERR 5\r\n'",
        ),
        (
            StartupCommand(send_hex="01a0", expect_hex="06", retries=0),
            b"",
            "the start-up command 01 a0 was not answered by 'hex 06' in 1 try: nothing came",
        ),
    ],
)
def test_a_failure_names_the_command_what_was_awaited_and_what_came(
    command: StartupCommand, received: bytes, what: str
) -> None:
    assert unanswered(command, received) == what


def test_long_and_binary_answers_are_shown_from_their_end() -> None:
    assert show(b"a" * 60 + b"\x00" * 40) == "..." + (b"a" * 24 + b"\x00" * 40).hex(" ")
    assert show(b"abc") == "'abc'"


@pytest.mark.parametrize(
    ("command", "key", "what"),
    [
        (StartupCommand(), "send", "exactly one of send and send_hex"),
        (StartupCommand(send="A", send_hex="01"), "send", "exactly one of send and send_hex"),
        (StartupCommand(send_hex="0x1"), "send_hex", "is no hex"),
        (StartupCommand(send="A", expect="("), "expect", "no regular expression"),
        (StartupCommand(send="A", expect=".*"), "expect", "found in nothing at all"),
        (StartupCommand(send="A", expect="A", expect_hex="41"), "expect", "both expect and expect_hex"),
        (StartupCommand(send="A", expect_hex=""), "expect_hex", "is no hex"),
    ],
)
def test_a_command_that_cannot_work_is_a_problem_of_its_profile(command: StartupCommand, key: str, what: str) -> None:
    assert [(found, text) for found, text, _ in problems(command) if found == key and what in text]


def test_a_profile_says_what_is_wrong_with_its_commands_and_where() -> None:
    text = profile_text(ARRIVING_LINES + '\n[[startup]]\nsend = "GO"\n[[startup]]\nsend = "GO"\nexpect = "["\n')
    with pytest.raises(ConfigError) as caught:
        parse_profile(text, "p.toml")
    [problem] = caught.value.problems
    assert "startup[1].expect" in problem.where


def test_nothing_can_be_sent_to_an_mqtt_device() -> None:
    text = profile_text(STAMPED_JSON + '\n[[startup]]\nsend = "GO"\n', transport="mqtt")
    with pytest.raises(ConfigError, match="nothing can be sent over transport 'mqtt'"):
        parse_profile(text, "p.toml")
