"""Labelled samples that models are judged on: a folder of images, one sub-folder a class, or webdataset shards.

A model with logits is judged by the class number. One with two towers is judged by captions: each picture among all
texts of the set. It refuses sets without labels, and models that say neither.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ....data import Source, SourceSpec, decode_field, open_source
from ....data.spec import FieldSpec
from ....data.views.captions import pick_caption
from ...errors import StageError
from ..predict import Predictor


@dataclass(frozen=True, slots=True)
class LabelledSet:
    """Samples in memory as files' bytes. `labels` int64 (n,): the class, or the place of the sample's own text in
    `texts`, which are () for classes."""

    name: str
    images: Sequence[bytes]
    labels: np.ndarray
    texts: tuple[str, ...]

    def scores(self, predictor: Predictor) -> np.ndarray:
        """float64 (n, C): logits, or cosines of pictures and texts times 100. Raises StageError when the model says
        neither."""
        said = predictor.predict(self.images, "image")
        if not self.texts and said.get("logits", np.zeros(0)).ndim == 2:
            logits: np.ndarray = said["logits"].astype(np.float64)
            return logits
        if self.texts and "image_embeds" in said:
            texts = predictor.predict(list(self.texts), "text")["text_embeds"]
            cosines: np.ndarray = _unit(said["image_embeds"]) @ _unit(texts).T
            return 100 * cosines
        wants = "image_embeds and text_embeds, for captions" if self.texts else "logits, for class numbers"
        raise StageError(f"{predictor.model.place} cannot be judged on {self.name}: it gives no {wants}")


def read_labelled(path: str, caption: str | None = None) -> LabelledSet:
    """The set at `path`: a folder, or a glob of tar shards; with `caption`, the extension of its texts. Raises
    DataError or StageError for what is none."""
    folder = Path(path).is_dir()
    fields = (
        {} if caption is None else {"caption": FieldSpec(kind="json" if caption == "json" else "text", ext=(caption,))}
    )
    source = open_source(SourceSpec(kind="folder" if folder else "webdataset", path=path, fields=fields))
    images, labels, texts = [], [], []
    for image, label, text in _samples(source, caption is not None):
        images.append(image)
        labels.append(-1 if label is None else label)
        texts.append(text)
    if caption is not None:
        unique = {text: number for number, text in enumerate(dict.fromkeys(texts))}
        return LabelledSet(path, images, np.array([unique[text] for text in texts]), tuple(unique))
    if min(labels, default=-1) < 0:
        raise StageError(f"{path}: {sum(one < 0 for one in labels)} of {len(labels)} samples have no class number")
    return LabelledSet(path, images, np.array(labels), ())


def _samples(source: Source, captions: bool) -> Iterator[tuple[bytes, int | None, str]]:
    for name in source.shards():
        for sample in source.read(name):
            text = pick_caption(decode_field(sample, "caption", source.kinds["caption"]), 0.0) if captions else ""
            if text is None:
                raise StageError(f"sample {sample.id!r} of shard {name!r}: its caption is neither a text nor a list")
            yield sample.image, sample.label, text


def _unit(rows: np.ndarray) -> np.ndarray:
    wide = rows.astype(np.float64)
    unit: np.ndarray = wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12)
    return unit
