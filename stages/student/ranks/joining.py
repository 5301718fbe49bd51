"""Joins the processes that torchrun has started, by what it says in the environment.

It sets RANK, WORLD_SIZE, LOCAL_RANK and where they meet. Gradients go through NCCL on CUDA and gloo on CPUs; what the
processes say of themselves goes through gloo, so that no device is waited for.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
import torch.distributed as dist

from ...device import pick_device
from ...errors import StageError, StageFailed
from .environment import rank_asked
from .ranks import ALONE, Ranks

Said = Callable[[], bool]  # whether somebody has spoken for all already; from then on somebody has


@contextmanager
def joined_ranks(environment: Mapping[str, str]) -> Iterator[tuple[Ranks, Said]]:
    """The ranks as long as the context is open, and who speaks for all when something goes wrong. Waits for them all.

    On CUDA the process takes the device of its local rank. Raises StageError when there is none for it.
    """
    asked = rank_asked(environment)
    if asked is None:
        yield ALONE, lambda: False
        return
    rank, size, local = asked
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(_device_number(local, torch.cuda.device_count()))
    try:
        store, _, _ = next(dist.rendezvous("env://", rank, size))  # type: ignore[attr-defined]
        backend = "cpu:gloo,cuda:nccl" if cuda else "gloo"
        met = dist.PrefixStore("ranks", store)  # type: ignore[attr-defined]
        dist.init_process_group(backend, store=met, rank=rank, world_size=size)
    except (RuntimeError, ValueError) as error:
        where = f"{environment['MASTER_ADDR']}:{environment['MASTER_PORT']}"
        raise StageFailed(f"the {size} processes do not meet at {where}: {str(error).splitlines()[0]}") from error
    yield Ranks(rank, size), lambda: store.add("said", 1) > 1
    dist.destroy_process_group()  # after an error nobody waits for the others: the process ends


def rank_device(name: str, ranks: Ranks) -> torch.device:
    """The device of this process. Raises StageError for one number of a GPU that all are to take, and what
    torch.distributed does not reach."""
    device = pick_device(name)
    if ranks.size > 1 and (device.index is not None or device.type not in ("cpu", "cuda")):
        raise StageError(
            f"train.device: {name} is one device, and torchrun has started {ranks.size} processes, which take one GPU "
            "each; write cuda, or cpu"
        )
    return device


def _device_number(local: int, count: int) -> int:
    """The GPU of a local rank; the only one where each process sees its own alone."""
    if count == 1:
        return 0
    if local >= count:
        raise StageError(f"torchrun has started more processes than there are GPUs ({count}): --nproc-per-node {count}")
    return local
