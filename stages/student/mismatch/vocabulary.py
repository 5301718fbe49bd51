"""Other vocabularies: tokens that both spell alike, and one bucket for all the rest. With few of those, use ULD."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ...errors import StageError
from ..losses.precision import at_least_float32


@dataclass(frozen=True, slots=True)
class SharedTokens:
    """Ids (n,) int64 of the shared strings in the student's and in the teacher's vocabulary, and whether all others
    count together as one more bucket."""

    student: Tensor
    teacher: Tensor
    rest: bool

    def both(self, output: Tensor, target: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        """log probabilities (..., n + 1) at `temperature` of logits over the two vocabularies."""
        sides = ((output, self.student), (target, self.teacher))
        first, second = (buckets(at_least_float32(x) / temperature, ids, rest=self.rest) for x, ids in sides)
        return first, second


def read_vocabulary(path: str) -> dict[str, int]:
    """Token to id of a vocab.json, or of a tokenizer.json of transformers. StageError for a file that is neither."""
    try:
        content = json.loads(Path(path).read_text("utf-8"))
        found = content["model"]["vocab"] if isinstance(content.get("model"), dict) else content
        if isinstance(found, list):  # Unigram: pairs of token and score, in the order of ids
            found = {token: number for number, (token, _) in enumerate(found)}
        if not found or not all(isinstance(number, int) for number in found.values()):
            raise ValueError("its values are no ids")
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise StageError(f"vocabulary: {path} is no vocab.json or tokenizer.json ({error})") from error
    added = content.get("added_tokens", ()) if isinstance(content.get("model"), dict) else ()
    return {**found, **{token["content"]: token["id"] for token in added}}


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
