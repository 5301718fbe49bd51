"""Actions as tokens: a coordinate in [-1, 1] is one of 256 bins, and a bin is one of the last ids of the vocabulary.

Bin b is the id `vocabulary - 1 - b`, as in Magma (arXiv 2502.13130) and OpenVLA (2406.09246); `vocabulary` is that of
the base tokenizer, without tokens that were added to it.
"""

from pathlib import Path
from typing import Any

import numpy as np

from ....data import DataError
from ...errors import StageError
from ..weights import model_config

BINS = 256


def action_ids(vocabulary: int) -> np.ndarray:
    """(256,) int64: the token id of each bin. Raises StageError for a vocabulary that is smaller."""
    if vocabulary < BINS:
        raise StageError(f"teacher.inputs.action: {BINS} bins do not fit into a vocabulary of {vocabulary}")
    return vocabulary - 1 - np.arange(BINS)


def action_tokens(value: Any, vocabulary: int, place: str) -> np.ndarray:
    """The ids (A,) of one sample's action: bins as whole numbers, or coordinates in [-1, 1] as floats.

    A coordinate x is in bin b where linspace(-1, 1, 256)[b] <= x < linspace(-1, 1, 256)[b + 1]. Raises DataError,
    naming the sample (`place`), for anything else.
    """
    values = np.asarray(value)
    if values.ndim != 1 or not len(values) or values.dtype.kind not in "iuf":
        raise DataError(f"{place}: an action is a row of numbers, and this is {values.dtype} {values.shape}")
    if values.dtype.kind == "f":
        if not bool((np.abs(values) <= 1).all()):
            raise DataError(f"{place}: coordinates of an action lie in [-1, 1]; normalise them as the teacher's were")
        values = np.digitize(values, np.linspace(-1, 1, BINS)) - 1
    if not bool(((values >= 0) & (values < BINS)).all()):
        raise DataError(f"{place}: bins of an action are 0 to {BINS - 1}, and one is {int(values.min())} or beyond")
    return action_ids(vocabulary)[values.astype(np.int64)]


def base_vocabulary(folder: Path, trust: bool = False) -> int:
    """Tokens of the tokenizer in a teacher's folder, without those added later; what config.json says comes first."""
    from transformers import AutoTokenizer

    told = model_config(folder).get("tokenizer_vocab_size")  # Magma's
    if isinstance(told, int):
        return told
    try:
        return int(AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=trust).vocab_size)
    except (OSError, ValueError, ImportError, KeyError, AttributeError) as error:
        raise StageError(f"teacher.model: the tokenizer in {folder} cannot be loaded ({error})") from error
