"""Trains the teacher of `data/samples/glosses-bert`: a small BERT on the definitions that are not shipped.

    python -m teachercache.pipeline.recipes.text.train_teacher [--package DIR] [--output DIR] [--steps N]

Minutes on one core. The shipped definitions, labelled or not, are none that it was trained on; the test shards are read
once, after training, for the accuracy in the card. It downloads nothing.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import torch.nn.functional as F
import typer
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import WordPieceTrainer
from torch import Tensor
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    PreTrainedTokenizerFast,
    get_cosine_schedule_with_warmup,
)

from ..emoji.drawing_lots import shuffled
from ..sample_shards import read_samples
from ..word_tokenizer import save_tokenizer
from .make_samples import PACKAGE, SAMPLES, TOPICS, Gloss, read_glosses, split_glosses
from .teacher_card import write_card

TEACHER = Path("data/samples/glosses-bert")
STEPS = 3600
LONGEST, _PIECES = 40, 4000  # tokens of a definition; ids of the tokenizer
_SPECIAL = ["[PAD]", "[UNK]", "[CLS]"]
_BUCKET = 32  # batches whose texts are sorted by length together


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the teacher is trained. `warmup` is a part of all steps."""

    steps: int = STEPS
    batch_size: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    warmup: float = 0.05
    clip: float = 1.0
    seed: int = 0


def make_tokenizer(texts: Sequence[str]) -> PreTrainedTokenizerFast:
    """Word pieces, learnt from `texts`; [CLS] stands before each text."""
    tokenizer = Tokenizer(WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.train_from_iterator(
        texts, WordPieceTrainer(vocab_size=_PIECES, special_tokens=_SPECIAL, show_progress=False)
    )
    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A", special_tokens=[("[CLS]", 2)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=LONGEST,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        padding_side="right",
        model_input_names=["input_ids", "attention_mask"],
    )


def make_model(pieces: int) -> BertForSequenceClassification:
    """The teacher before training: three layers of width 96."""
    return BertForSequenceClassification(
        BertConfig(
            vocab_size=pieces,
            hidden_size=96,
            num_hidden_layers=3,
            num_attention_heads=4,
            intermediate_size=192,
            max_position_embeddings=LONGEST,
            type_vocab_size=1,
            hidden_dropout_prob=0.1,
            attention_probs_dropout_prob=0.0,
            id2label=dict(enumerate(TOPICS.values())),
            label2id={name: number for number, name in enumerate(TOPICS.values())},
        )
    )


def encode(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Ids int64 (n, LONGEST), 0 is padding, and lengths int64 (n,); longer texts are cut."""
    ids = tokenizer(list(texts), padding="max_length", truncation=True, return_tensors="pt")["input_ids"]
    return ids, (ids != 0).sum(dim=1)


def batches(lengths: Tensor, size: int, generator: torch.Generator) -> list[Tensor]:
    """An epoch's rows in random batches of texts of like length."""
    order = torch.randperm(len(lengths), generator=generator)
    near = [part[lengths[part].argsort()] for part in order.split(size * _BUCKET)]
    found = [batch for part in near for batch in part.split(size) if len(batch) == size]
    return [found[number] for number in torch.randperm(len(found), generator=generator).tolist()]


def train(model: BertForSequenceClassification, ids: Tensor, lengths: Tensor, topics: Tensor, recipe: Recipe) -> float:
    """Trains in place; returns the seconds it took."""
    generator = torch.Generator().manual_seed(recipe.seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    schedule = get_cosine_schedule_with_warmup(optimizer, int(recipe.warmup * recipe.steps), recipe.steps)
    started = time.perf_counter()
    queue: list[Tensor] = []
    model.train()
    for step in range(1, recipe.steps + 1):
        queue = queue or batches(lengths, recipe.batch_size, generator)
        rows = queue.pop()
        loss = F.cross_entropy(logits(model, ids[rows], lengths[rows]), topics[rows])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        optimizer.step()
        schedule.step()
        if step % 200 == 0:
            print(f"step {step}: loss {loss:.3f}, {time.perf_counter() - started:.0f} s", flush=True)
    return time.perf_counter() - started


def logits(model: BertForSequenceClassification, ids: Tensor, lengths: Tensor) -> Tensor:
    """Topics' logits (n, topics)."""
    cut = ids[:, : int(lengths.max())]
    said: Tensor = model(input_ids=cut, attention_mask=(cut != 0).long()).logits
    return said


@torch.inference_mode()
def accuracy(
    model: BertForSequenceClassification, tokenizer: PreTrainedTokenizerFast, glosses: Sequence[tuple[str, int]]
) -> float:
    """Top-1 in percent of texts with their topics."""
    model.eval()
    ids, lengths = encode(tokenizer, [text for text, _ in glosses])
    right = logits(model, ids, lengths).argmax(-1) == torch.tensor([topic for _, topic in glosses])
    return 100 * float(right.float().mean())


def read_test(folder: Path) -> list[tuple[str, int]]:
    """The shipped test definitions and their topics."""
    return [(members["txt"].decode(), int(members["cls"])) for _, members in read_samples(folder, "test")]


def run(
    package: Annotated[Path, typer.Option(help="folder of WordNet's data.noun")] = PACKAGE,
    samples: Annotated[Path, typer.Option(help="folder of the shipped samples")] = SAMPLES,
    output: Annotated[Path, typer.Option(help="where the teacher is saved")] = TEACHER,
    steps: Annotated[int, typer.Option(min=1)] = STEPS,
    threads: Annotated[int, typer.Option(min=1)] = os.cpu_count() or 1,
) -> None:
    """Trains, saves, measures, and writes the card."""
    torch.set_num_threads(threads)
    recipe = Recipe(steps=steps)
    splits = split_glosses(read_glosses(package))
    own: list[Gloss] = shuffled(splits.rest, "glosses", "teacher")
    tokenizer = make_tokenizer([gloss.text for gloss in own])
    torch.manual_seed(recipe.seed)
    model = make_model(len(tokenizer))
    seconds = train(
        model, *encode(tokenizer, [gloss.text for gloss in own]), torch.tensor([g.topic for g in own]), recipe
    )
    model.half().save_pretrained(output)
    save_tokenizer(tokenizer, output)
    kept = BertForSequenceClassification.from_pretrained(output, dtype=torch.float32)
    test = accuracy(kept, tokenizer, read_test(samples))
    pool = accuracy(kept, tokenizer, [(gloss.text, gloss.topic) for gloss in splits.pool])
    write_card(output, recipe, kept.num_parameters(), len(own), test, pool, seconds, threads)
    print(f"accuracy on the test shards {test:.2f} %, on the pool {pool:.2f} %", flush=True)


if __name__ == "__main__":
    typer.run(run)
