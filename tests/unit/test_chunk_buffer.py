"""The chunk buffer: bounded, oldest out first, every drop counted by device, and a taker that waits is woken."""

import threading
import time

from hypothesis import given
from hypothesis import strategies as st

from agent.sources import buffer as buffer_module
from agent.sources.buffer import TAKE_BYTES, ChunkBuffer
from agent.types import Chunk


def test_chunks_come_out_in_order():
    buffer = ChunkBuffer(1000)
    chunks = [Chunk("a", b"1", 1), Chunk("b", b"22", 2), Chunk("a", b"333", 3)]
    for chunk in chunks:
        buffer.put(chunk)
    assert buffer.take(0) == chunks
    assert buffer.take(0) == []


def test_the_oldest_give_way_and_are_counted_by_device():
    buffer = ChunkBuffer(10)
    for device, data in (("a", b"12345"), ("b", b"123"), ("a", b"1234"), ("b", b"123456")):
        buffer.put(Chunk(device, data, 0))
    assert [chunk.data for chunk in buffer.take(0)] == [b"1234", b"123456"]
    dropped = buffer.dropped()
    assert (dropped["a"].chunks, dropped["a"].bytes) == (1, 5)
    assert (dropped["b"].chunks, dropped["b"].bytes) == (1, 3)


def test_tiny_and_empty_chunks_are_bounded_by_their_number(monkeypatch):
    monkeypatch.setattr(buffer_module, "MAX_CHUNKS", 3)
    buffer = ChunkBuffer(1000)
    for data in (b"1", b"", b"", b"2", b""):
        buffer.put(Chunk("a", data, 0))
    assert [chunk.data for chunk in buffer.take(0)] == [b"", b"2", b""]
    assert (buffer.dropped()["a"].chunks, buffer.dropped()["a"].bytes) == (2, 1)
    assert buffer.balance().missing == 0


def test_a_chunk_larger_than_the_buffer_is_dropped_itself():
    buffer = ChunkBuffer(4)
    buffer.put(Chunk("a", b"12345", 0))
    assert buffer.take(0) == []
    assert buffer.dropped()["a"].bytes == 5
    buffer.put(Chunk("a", b"1234", 0))
    assert len(buffer.take(0)) == 1


def test_one_take_is_bounded():
    buffer = ChunkBuffer(10 * TAKE_BYTES)
    for _ in range(5):
        buffer.put(Chunk("a", b"x" * (TAKE_BYTES // 2), 0))
    assert [len(buffer.take(0)) for _ in range(4)] == [2, 2, 1, 0]
    assert buffer.held_bytes == 0


def test_a_waiting_taker_is_woken_by_a_put():
    buffer = ChunkBuffer(1000)
    taken = []
    taker = threading.Thread(target=lambda: taken.append(buffer.take(30.0)))
    taker.start()
    time.sleep(0.05)
    buffer.put(Chunk("a", b"1", 0))
    taker.join(30.0)
    assert [[chunk.data for chunk in chunks] for chunks in taken] == [[b"1"]]


def test_once_it_is_closed_what_is_held_and_what_still_comes_is_dropped():
    buffer = ChunkBuffer(1000)
    buffer.put(Chunk("a", b"123", 0))
    buffer.close()
    buffer.put(Chunk("b", b"45", 0))
    assert (buffer.take(0), buffer.balance().as_dict()) == ([], {"in": 5, "out": 0, "held": 0, "dropped": 5})
    assert {name: lost.bytes for name, lost in buffer.dropped().items()} == {"a": 3, "b": 2}


@given(st.lists(st.one_of(st.integers(0, 50), st.none())), st.integers(1, 100))
def test_in_equals_out_plus_held_plus_dropped(steps, max_bytes):
    buffer, taken = ChunkBuffer(max_bytes), 0
    for size in steps:
        if size is None:
            taken += sum(len(chunk.data) for chunk in buffer.take(0))
        else:
            buffer.put(Chunk("a", b"x" * size, 0))
        assert buffer.held_bytes <= max_bytes
    balance = buffer.balance()
    assert balance.entered == sum(size for size in steps if size is not None)
    assert balance.left == taken
    assert balance.missing == 0
