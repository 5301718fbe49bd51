"""What cannot be summed up from parts of a batch, so that micro-batches would train something else."""

from ...errors import StageError
from .spec import PhaseSpec

_TOGETHER = frozenset(
    (
        "clip_affinity",
        "clip_contrastive",
        "dist",
        "icl",
        "info_nce",
        "multi_level",
        "pkt",
        "rkd",
        "rkd_angle",
        "rkd_distance",
        "siglip",
        "sp",
    )
)


def check_micro_batches(phase: PhaseSpec, place: str) -> None:
    """Raise StageError for a phase that reads its batches whole: rows that are compared with each other, or weighed
    against each other. (Batch norms see a micro-batch too; that is no error, and documented.)"""
    for term in phase.objective:
        if term.loss in _TOGETHER:
            reason = f"{term.loss} compares the rows of a batch with each other"
        elif term.sample_weight is not None:
            reason = f"sample_weight of {term.loss} weighs the rows of a batch against each other"
        elif term.average == "batch":
            reason = f"average: batch of {term.loss} is over the tokens of a batch"
        else:
            continue
        raise StageError(f"{place}: {reason}; leave optimizer.micro_batch out")
    if phase.balance is not None:
        raise StageError(f"{place}.balance: it weighs terms of whole batches; leave optimizer.micro_batch out")
