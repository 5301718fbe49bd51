"""The memory of decoded chunks: bounded, each chunk decoded once, errors where they are read."""

import threading
import time

import numpy as np
import pytest

from teachercache.cache import CacheError
from teachercache.cache.tables.chunk_memory import VARIABLE, ChunkMemory, chunk_memory


def chunk(number: int) -> np.ndarray:
    return np.full(10, number, np.uint8)


def test_it_holds_no_more_than_it_may_and_drops_what_was_used_least_recently() -> None:
    memory, decoded = ChunkMemory(30), []

    def get(number: int) -> np.ndarray:
        return memory.get((0, 0, number), lambda: (decoded.append(number), chunk(number))[1])

    for number in (0, 1, 2, 0, 3, 0, 1):  # 1 is dropped for 3
        assert get(number)[0] == number
        assert memory.used <= 30
    assert decoded == [0, 1, 2, 3, 1]


def test_a_chunk_larger_than_the_memory_is_read_all_the_same() -> None:
    memory = ChunkMemory(5)
    for number in (0, 1, 0):
        assert memory.get((0, 0, number), lambda number=number: chunk(number))[0] == number
        assert memory.used == 10


def test_many_readers_of_one_chunk_decode_it_once() -> None:
    memory, decoded, found = ChunkMemory(100), [], []

    def slow() -> np.ndarray:
        decoded.append(1)
        time.sleep(0.05)
        return chunk(7)

    memory.soon((0, 0, 0), slow)
    readers = [threading.Thread(target=lambda: found.append(memory.get((0, 0, 0), slow))) for _ in range(4)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert len(decoded) == 1
    assert [values[0] for values in found] == [7] * 4


def test_an_error_is_raised_where_the_chunk_is_read_and_leaves_nothing_behind() -> None:
    memory = ChunkMemory(100)

    def fail() -> np.ndarray:
        raise CacheError("damaged")

    memory.soon((0, 0, 0), fail)
    for _ in range(2):
        with pytest.raises(CacheError, match="damaged"):
            memory.get((0, 0, 0), fail)
    assert memory.get((0, 0, 0), lambda: chunk(1))[0] == 1


def test_chunks_of_a_closed_reader_are_dropped() -> None:
    memory = ChunkMemory(100)
    for array in (0, 1):
        memory.get((array, 0, 0), lambda: chunk(1))
    memory.forget(0)
    assert memory.used == 10


def test_a_reader_that_is_collected_while_the_memory_changes_waits_for_nobody() -> None:
    memory = ChunkMemory(100)
    memory.get((0, 0, 0), lambda: chunk(1))
    with memory._lock:  # as when the collector of garbage runs in the middle of a change
        memory.forget(0)
    memory.get((1, 0, 0), lambda: chunk(1))
    assert memory.used == 10


def test_its_size_is_a_part_of_the_machines_or_what_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert 0 < chunk_memory.__wrapped__().most <= 1 << 31
    monkeypatch.setenv(VARIABLE, "1000")
    assert chunk_memory.__wrapped__().most == 1000
    monkeypatch.setenv(VARIABLE, "1 GB")
    with pytest.raises(CacheError, match="number of bytes"):
        chunk_memory.__wrapped__()
