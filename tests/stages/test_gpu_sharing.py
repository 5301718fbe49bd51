"""A process that shares a GPU waits for its share, says so, and does not wait for ever. No GPU is needed for that."""

import pytest
import torch

from teachercache.stages.errors import Interrupted
from teachercache.stages.gpu_sharing.claim import claim_memory
from teachercache.stages.gpu_sharing.share import MemoryShare, MemoryState, await_memory, delays

GB = 10**9


def test_what_a_process_holds_itself_is_not_lacking() -> None:
    assert MemoryState(free=6 * GB, total=24 * GB).lacking(0.25) == 0
    assert MemoryState(free=5 * GB, total=24 * GB).lacking(0.25) == GB
    assert MemoryState(free=1 * GB, total=24 * GB, own=5 * GB).lacking(0.25) == 0
    assert MemoryState(free=0, total=24 * GB).lacking(1.0) == 24 * GB


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_delays_grow_to_about_a_minute_and_are_together_the_patience(chance: float) -> None:
    found = list(delays(600.0, lambda: chance))
    assert sum(found) == pytest.approx(600) and 1.5 <= found[0] <= 2.5 and max(found) <= 75
    assert all(a < b for a, b in zip(found[:4], found[1:5], strict=True))
    assert list(delays(0.0)) == []


def waiting(frees: list[int], patience: float = 600.0, stop_after: int = 10**9) -> tuple[list[str], float]:
    """What is told, and the seconds slept, until the memory is there: the last of `frees` stays."""
    told: list[str] = []
    slept: list[float] = []
    looks = iter(frees)
    state = [frees[0]]

    def look() -> MemoryState:
        state[0] = next(looks, state[0])
        return MemoryState(state[0], 10 * GB)

    try:
        share = MemoryShare(0.5, patience)
        await_memory(share, "cuda:0", look, slept.append, lambda: len(slept) >= stop_after, told.append)
    finally:
        waiting.slept = sum(slept)  # type: ignore[attr-defined]
    return told, sum(slept)


def test_memory_that_is_free_is_not_waited_for() -> None:
    assert waiting([6 * GB]) == ([], 0.0)


def test_memory_that_others_hold_is_waited_for_and_each_wait_is_told() -> None:
    told, slept = waiting([1 * GB, 2 * GB, 5 * GB])
    assert len(told) == 2 and 3 < slept < 12
    assert "1.0 of 10.0 GB are free, and launch.memory_share asks for 5.0 GB" in told[0]


def test_patience_ends_with_an_interruption_that_a_queue_tries_again() -> None:
    with pytest.raises(Interrupted, match=r"cuda:0: others hold memory: 1\.0 of 10\.0 GB .* try again later") as error:
        waiting([1 * GB], patience=100.0)
    assert error.value.exit_code == 75
    assert 100 <= waiting.slept < 120  # type: ignore[attr-defined]


def test_no_patience_still_takes_what_is_free() -> None:
    assert waiting([6 * GB], patience=0.0) == ([], 0.0)
    with pytest.raises(Interrupted):
        waiting([1 * GB], patience=0.0)


def test_a_signal_ends_the_wait_within_a_second_of_sleep() -> None:
    with pytest.raises(Interrupted, match="stopped while waiting"):
        waiting([1 * GB], stop_after=3)
    assert waiting.slept <= 3  # type: ignore[attr-defined]


def test_without_a_share_and_on_a_cpu_nothing_is_claimed() -> None:
    claim_memory(None, torch.device("cuda"), lambda: False)
    claim_memory(MemoryShare(0.5), torch.device("cpu"), lambda: False)


@pytest.mark.gpu
def test_a_gpu_holds_a_process_to_its_share() -> None:
    device = torch.device("cuda:0")
    try:
        claim_memory(MemoryShare(0.01), device, lambda: False)
        total = torch.cuda.mem_get_info(device)[1]
        torch.empty(total // 200, dtype=torch.uint8, device=device)
        with pytest.raises(torch.OutOfMemoryError):
            torch.empty(total // 50, dtype=torch.uint8, device=device)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)
