"""Samples that hold everything: an image, captions, an array, a sequence, a .npz, and labels of three kinds."""

import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from teachercache.cache import open_cache
from teachercache.data import SourceSpec, ViewPolicy, ViewsSpec, open_source
from teachercache.stages.student.stream.join import Join
from teachercache.stages.teacher.job import CacheJob
from teachercache.stages.teacher.runner import build_cache

WORDS = ("a", "red", "green", "cat", "dog", "bird", "on", "the", "mat", "tree", "of", "photo")
FIELDS = {
    "caption": {"kind": "json", "ext": ["json"]},
    "volume": {"kind": "array", "ext": ["npy"]},
    "sequence": {"kind": "array", "ext": ["seq"]},
    "parts": {"kind": "array", "ext": ["npz"]},
    "score": {"kind": "json", "ext": ["score"], "optional": True},
    "cell": {"kind": "json", "ext": ["cell"], "optional": True},
}
VIEWS = {"count": 3, "size": 16, "operations": [{"op": "flip"}, {"op": "caption"}, {"op": "token_dropout"}]}

Sample = dict[str, bytes]


def npy(array: np.ndarray) -> bytes:
    """The bytes of a .npy."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    """The bytes of a .npz."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def make_sample(number: int) -> Sample:
    """Sample `number`, by extension; every fourth one has no score."""
    rng, picture = np.random.default_rng(number), io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(picture, "PNG")
    texts = [" ".join(rng.choice(WORDS, rng.integers(1, 9))) for _ in range(rng.integers(1, 4))]
    scored = {"score": json.dumps(float(rng.normal())).encode()} if number % 4 != 3 else {}
    return {
        "png": picture.getvalue(),
        "cls": str(number % 5).encode(),
        "json": json.dumps(texts).encode(),
        "npy": npy(rng.normal(size=(2, 3))),
        "seq": npy(rng.normal(size=(int(rng.integers(1, 7)), 2)).astype(np.float32)),
        "npz": npz(ids=rng.integers(0, 9, 4).astype(np.uint8), on=rng.random(3) < 0.5),
        "cell": str(number % 4).encode(),
        **scored,
    }


def write_shards(folder: Path, counts: tuple[int, ...], change: Callable[[int, Sample], Sample]) -> None:
    """Tar shards of so many samples each."""
    folder.mkdir(parents=True)
    for shard, count in enumerate(counts):
        with tarfile.open(folder / f"train-{shard}.tar", "w") as tar:
            for i in range(count):
                for ext, data in change(10 * shard + i, make_sample(10 * shard + i)).items():
                    member = tarfile.TarInfo(f"{shard}-{i}.{ext}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))


@pytest.fixture(scope="session")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer of whole words: 0 pads, 1 is unknown, 2 begins a text and 3 ends it. It knows no longest text."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: number for number, word in enumerate(("[PAD]", "[UNK]", "[BOS]", "[EOS]", *WORDS))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing("[BOS] $A [EOS]", None, [("[BOS]", 2), ("[EOS]", 3)])
    folder = tmp_path_factory.mktemp("words")
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]").save_pretrained(folder)
    return folder


@pytest.fixture
def joined(tmp_path: Path, make_job: Callable[..., CacheJob]) -> Callable[..., Join]:
    """joined(): shards of 5, 1 and 4 samples, three views each, joined to a cache of a tiny teacher's logits.
    `change(number, sample)` says what is in a sample, `fields` replaces settings of the source."""

    def make(
        change: Callable[[int, Sample], Sample] = lambda number, sample: sample,
        views: dict[str, Any] = VIEWS,
        **fields: Any,
    ) -> Join:
        folder = tmp_path / f"rich-{len(list(tmp_path.iterdir()))}"
        write_shards(folder, (5, 1, 4), change)
        spec = {"path": str(folder / "*.tar"), "fields": FIELDS} | fields
        source = open_source(SourceSpec.model_validate(spec))
        policy = ViewPolicy(ViewsSpec.model_validate(views))
        job = make_job(root=tmp_path / f"{folder.name}-cache", signals={"logits": {"codec": "f32"}})
        build_cache(replace(job, source=source, policy=policy))
        return Join(open_cache(job.root), source, policy)

    return make
