"""Small tokenizers of whole words, saved as transformers reads them: `tokenizer.json` and its configuration.

Text is lower-cased and split at what is no letter, digit or apostrophe. It refuses nothing: a word it does not know is
one `[unk]`.
"""

from collections.abc import Sequence
from pathlib import Path

from tokenizers import Regex, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import Split
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

PAD, UNKNOWN, START, END = "[pad]", "[unk]", "[start]", "[end]"


def word_tokenizer(words: Sequence[str], longest: int, framed: bool = False) -> PreTrainedTokenizerFast:
    """Ids: 0 padding, 1 unknown, with `framed` 2 start and 3 end, which stand around each text; then the words."""
    special = [PAD, UNKNOWN, *([START, END] if framed else [])]
    vocabulary = {word: number for number, word in enumerate([*special, *words])}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.normalizer = Lowercase()
    tokenizer.pre_tokenizer = Split(Regex(r"[^\p{L}\p{N}']+"), behavior="removed")
    names = {"pad_token": PAD, "unk_token": UNKNOWN}
    if framed:
        names |= {"bos_token": START, "eos_token": END}
        tokenizer.post_processor = TemplateProcessing(
            single=f"{START} $A {END}", special_tokens=[(START, vocabulary[START]), (END, vocabulary[END])]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=longest,
        padding_side="right",
        model_input_names=["input_ids", "attention_mask"],
        **names,
    )


def save_tokenizer(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Writes tokenizer.json and tokenizer_config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(folder)
