"""Seeds of a trial as pure functions of what they are for, so that no trial's draws depend on another's."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import xxhash


def derive_seed(*parts: str | int) -> int:
    """A seed in [0, 2^63) from words and numbers: xxh3 of their text. Equal on every machine."""
    return xxhash.xxh3_64_intdigest("/".join(map(str, parts)).encode()) >> 1


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within the context torch's CPU generator starts at `seed`; afterwards it is where it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # see seed_step
        yield


def seed_step(seed: int, device: torch.device) -> None:
    """Start the generators that a step on `device` draws from at `seed`.

    Not torch.manual_seed: before CUDA is first used, it keeps every call in a list, with its stack.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)
