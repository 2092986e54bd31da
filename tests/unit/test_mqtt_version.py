"""MQTT 5 is given up for a reason only, and 3.1.1 is believed for a reason only."""

from __future__ import annotations

from agent.upstream.version import Version, VersionChoice


def test_version_5_comes_first_and_stays_where_it_is_accepted_whatever_closes_later() -> None:
    choice = VersionChoice()
    assert choice.accepted()
    for _ in range(10):
        choice.closed()
    assert choice.current is Version.V5


def test_a_refusal_in_words_is_believed_at_once() -> None:
    choice = VersionChoice()
    choice.refused()
    assert choice.current is Version.V311
    assert choice.accepted()


def test_a_broker_upgraded_later_can_refuse_3_1_1_again() -> None:
    choice = VersionChoice()
    choice.refused()
    choice.accepted()
    choice.refused()
    assert choice.current is Version.V5


def test_3_1_1_chosen_on_closes_alone_is_doubted_once() -> None:
    choice = VersionChoice()
    choice.closed()
    assert choice.current is Version.V5
    choice.closed()
    assert choice.current is Version.V311
    assert not choice.accepted()
    assert choice.current is Version.V5
    choice.closed()
    assert choice.current is Version.V311
    assert choice.accepted()


def test_the_doubt_finds_version_5_where_the_broker_was_merely_starting() -> None:
    choice = VersionChoice()
    choice.closed()
    choice.closed()
    assert not choice.accepted()
    assert choice.accepted()
    assert choice.current is Version.V5


def test_while_nothing_answers_both_are_tried_in_turn() -> None:
    choice = VersionChoice()
    tried = []
    for _ in range(8):
        tried.append(choice.current)
        choice.closed()
    assert tried == [Version.V5, Version.V5, Version.V311, Version.V311] * 2
