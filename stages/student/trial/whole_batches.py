"""What cannot be summed up from parts of a batch: micro-batches, or several processes, would train something else."""

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
_ALONE = "train this student in one process, without torchrun (--student names those to train)"


def check_micro_batches(phase: PhaseSpec, place: str) -> None:
    """Raise StageError for a phase that reads its batches whole: see `check_parts`."""
    check_parts(phase, place, "leave optimizer.micro_batch out")


def check_ranks(phase: PhaseSpec, place: str) -> None:
    """The same where each of several processes has a part of the batch."""
    for term in phase.objective:
        if term.loss == "crd":
            raise StageError(f"{place}: crd takes its constant from a whole first batch; {_ALONE}")
    check_parts(phase, place, _ALONE)


def check_parts(phase: PhaseSpec, place: str, advice: str) -> None:
    """Raise StageError, with the advice, for a phase that reads its batches whole: rows that are compared with each
    other, or weighed against each other. (Batch norms see a part too; that is no error, and documented.)"""
    for term in phase.objective:
        if term.loss in _TOGETHER:
            reason = f"{term.loss} compares the rows of a batch with each other"
        elif term.sample_weight is not None:
            reason = f"sample_weight of {term.loss} weighs the rows of a batch against each other"
        elif term.average == "batch":
            reason = f"average: batch of {term.loss} is over the tokens of a batch"
        else:
            continue
        raise StageError(f"{place}: {reason}; {advice}")
    if phase.balance is not None:
        raise StageError(f"{place}.balance: it weighs terms of whole batches; {advice}")
