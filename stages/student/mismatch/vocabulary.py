"""Other vocabularies: tokens that both spell alike, and one bucket for all the rest. With few of those, use ULD."""

from collections.abc import Mapping

import torch
from torch import Tensor

from ...errors import StageError
from ..losses.precision import at_least_float32


def shared_ids(
    student: Mapping[str, int], teacher: Mapping[str, int], *, at_least: float = 0.5
) -> tuple[Tensor, Tensor]:
    """Ids of the strings that are in both vocabularies, (n,) int64 on each side, in the order of the student's ids.

    The mappings are token -> id, as `tokenizer.get_vocab()` gives them. StageError when less than `at_least` of the
    student's tokens are shared.
    """
    common = sorted(student.keys() & teacher.keys(), key=student.__getitem__)
    if len(common) < at_least * len(student) or not common:
        raise StageError(
            f"vocabulary: {len(common)} of the student's {len(student)} tokens are in the teacher's vocabulary of "
            f"{len(teacher)}; use the loss uld, or a smaller `at_least`"
        )
    return torch.tensor([student[token] for token in common]), torch.tensor([teacher[token] for token in common])


def buckets(logits: Tensor, ids: Tensor, *, rest: bool = True) -> Tensor:
    """log probabilities of the tokens `ids` (n,) and of all others together, (..., n + 1), of logits (..., V).

    Made on both sides with their own ids, the two can be compared by any divergence, which is then a lower bound of the
    one over whole vocabularies. `rest=False` leaves out the others and renormalises, (..., n): what the tokens get
    together is no longer learnt. It is needed where one side has no others, and StageError says so.
    """
    ids = ids.to(logits.device)
    _check_ids(ids, logits.shape[-1], rest)
    values = at_least_float32(logits)
    if not rest:
        return values.index_select(-1, ids).log_softmax(dim=-1)
    logs = values.log_softmax(dim=-1)
    others = torch.ones(logs.shape[-1], dtype=torch.bool, device=logs.device).index_fill(0, ids, False)
    return torch.cat([logs.index_select(-1, ids), logs[..., others].logsumexp(dim=-1, keepdim=True)], dim=-1)


def _check_ids(ids: Tensor, vocabulary: int, rest: bool) -> None:
    if ids.ndim != 1 or not len(ids) or int(ids.min()) < 0 or int(ids.max()) >= vocabulary:
        raise StageError(f"vocabulary: ids must lie between 0 and {vocabulary - 1}, and there must be some")
    if len(ids.unique()) != len(ids):
        raise StageError("vocabulary: an id is named twice")
    if rest and len(ids) == vocabulary:
        raise StageError("vocabulary: every token of this side is shared, so there are no others; use rest=False")
