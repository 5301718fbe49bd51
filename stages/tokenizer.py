"""A tokenizer of transformers out of a folder, as teachers and students use it: padded and cut on the right."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import xxhash

from .errors import StageError

FILES = ("tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json", "added_tokens.json", "*.model")
NO_LIMIT = 1 << 20  # tokenizers that know no longest text say a number beyond all sense


def load_tokenizer(folder: Path, setting: str) -> Any:
    """The tokenizer in `folder`, which `setting` names. No code that lies there is run.

    Raises StageError when there is none, or when it knows neither padding nor an end of text.
    """
    from transformers import AutoTokenizer

    if not folder.is_dir():
        raise StageError(f"{setting}: there is no folder {folder}; name one that a tokenizer's save_pretrained wrote")
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, ImportError, KeyError, AttributeError, TypeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise StageError(f"{setting}: the tokenizer in {folder} cannot be loaded ({reason})") from error
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise StageError(f"{setting}: the tokenizer in {folder} knows neither padding nor an end of text")
        tokenizer.pad_token = tokenizer.eos_token  # masked, so which token it is does not matter
    tokenizer.padding_side = tokenizer.truncation_side = "right"
    return tokenizer


def tokenizer_files(folder: Path) -> list[Path]:
    """The files that make a tokenizer, sorted."""
    return sorted({path for pattern in FILES for path in folder.glob(pattern) if path.is_file()})


def files_digest(files: Iterable[Path]) -> str:
    """xxh3-128, in hex, of names and bytes."""
    state = xxhash.xxh3_128()
    for path in files:
        state.update(f"{path.name}\0{path.stat().st_size}\n".encode())
        state.update(path.read_bytes())
    return state.hexdigest()
