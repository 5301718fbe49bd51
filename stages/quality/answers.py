"""What a teacher said of every row of a cache, reduced to a few numbers a row while the logits stream by.

It refuses signals of which only some logits are kept: their small probabilities are not known.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...cache import Cache
from ...cache.codecs.logits.softmax import log_softmax
from ..errors import StageError

_ROWS = 4096
_SAMPLE_NUMBERS = 16_000_000  # logits that are kept for temperature and sparsity


@dataclass(frozen=True, slots=True)
class Answers:
    """N samples under V views. `ids` (N,) str; `labels` (N,) int64, -1 for none; `top` (N, V, 2) the two likeliest
    classes; `probability` (N, V, 2) theirs; `entropy` (N, V) nats; `label_probability` (N, V), NaN without a label;
    `divergence` (N, V) KL(view 0 || view v) in nats; `mixed` (N, V) which views hold another sample too, so that they
    have no one class; `logits` (n, C) float32 and `chosen` (n,) the samples they belong
    to: some samples' plain view, drawn evenly from the labelled ones (from all, when none is labelled)."""

    ids: np.ndarray
    labels: np.ndarray
    top: np.ndarray
    probability: np.ndarray
    entropy: np.ndarray
    label_probability: np.ndarray
    divergence: np.ndarray
    mixed: np.ndarray
    logits: np.ndarray
    chosen: np.ndarray

    @property
    def labelled(self) -> np.ndarray:
        """Numbers of the samples that have a label: (n,) int64."""
        return np.flatnonzero(self.labels >= 0)

    @property
    def classes(self) -> int:
        return int(self.logits.shape[1])


def read_answers(cache: Cache, signal: str = "logits") -> Answers:
    """Walk a complete cache once. Raises StageError for a signal that is no dense logits, or labels beyond them."""
    shape = cache.manifest.signals[signal].shape if signal in cache.manifest.signals else ()
    views, samples = cache.manifest.views, cache.rows // cache.manifest.views
    labels = _labels(cache)
    if not samples:
        raise StageError(f"{cache.url} holds no sample: there is nothing to judge a teacher by")
    pieces = [_piece(logits, labels[rows // views], views) for rows, logits in _logits(cache, signal, shape)]
    joined = {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
    classes = joined.pop("classes")[0]
    if len(labels) and labels.max() >= classes:
        raise StageError(f"{cache.url}: label {labels.max()} is no class of {signal}, which has {classes}")
    chosen = _choose(labels, int(classes))
    return Answers(
        ids=np.concatenate([cache.reader(shard).ids for shard in cache.shards]),
        labels=labels,
        **{name: values.reshape(samples, views, *values.shape[1:]) for name, values in joined.items()},
        logits=_decoded(cache, signal, chosen * views),
        chosen=chosen,
        mixed=_mixed(cache).reshape(samples, views),
    )


def _labels(cache: Cache) -> np.ndarray:
    return np.concatenate([np.zeros(0, np.int64), *(cache.reader(shard).labels for shard in cache.shards)])


def _mixed(cache: Cache) -> np.ndarray:
    """Which rows are views of two samples: the policy's mixup or cutmix has drawn a partner for them."""
    partners = [number for number, name in enumerate(cache.manifest.parameters) if name.endswith(".partner")]
    drawn = (cache.reader(shard).parameters[:, partners] >= 0 for shard in cache.shards)
    return np.concatenate([np.zeros(0, bool), *(rows.any(axis=1) for rows in drawn)])


def _logits(cache: Cache, signal: str, shape: tuple[int, ...]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(rows, logits) of whole samples, in order."""
    if signal not in cache.manifest.signals:
        raise StageError(f"{cache.url} has no signal {signal!r}; it has {', '.join(cache.manifest.signals)}")
    views = cache.manifest.views
    step = max(1, _ROWS // views) * views
    for start in range(0, cache.rows, step):
        rows = np.arange(start, min(start + step, cache.rows))
        yield rows, _decoded(cache, signal, rows)


def _decoded(cache: Cache, signal: str, rows: np.ndarray) -> np.ndarray:
    """Logits float32 (n, C) of rows."""
    decoded: Any = cache.read(rows, (signal,)).signals[signal]
    if callable(getattr(decoded, "logits", None)):  # hidden states with their head
        decoded = decoded.logits()
    if not isinstance(decoded, np.ndarray) or decoded.ndim != 2:
        raise StageError(
            f"signal {signal!r} keeps no dense logits (codec {cache.manifest.signals[signal].codec}); a teacher is "
            "judged by f16, bf16, int8 or head"
        )
    return np.asarray(decoded, np.float32)


def _piece(logits: np.ndarray, labels: np.ndarray, views: int) -> dict[str, np.ndarray]:
    """The numbers of some whole samples, one row per row."""
    log_p = log_softmax(logits.astype(np.float64))
    p = np.exp(log_p)
    first = np.argmax(log_p, axis=1)
    rest = log_p.copy()
    rest[np.arange(len(rest)), first] = -np.inf
    top = np.stack([first, np.argmax(rest, axis=1)], axis=1)
    own = np.where((labels >= 0) & (labels < log_p.shape[1]), labels, 0)
    said = np.where(labels >= 0, p[np.arange(len(p)), own], np.nan)
    plain = log_p[::views].repeat(views, axis=0)
    return {
        "classes": np.full(len(p), p.shape[1]),
        "top": top,
        "probability": np.take_along_axis(p, top, axis=1),
        "entropy": -np.sum(p * log_p, axis=1),
        "label_probability": said,
        "divergence": np.maximum(np.sum(np.exp(plain) * (plain - log_p), axis=1), 0.0),
    }


def _choose(labels: np.ndarray, classes: int) -> np.ndarray:
    """Samples whose logits are kept: evenly spread, as many as memory allows."""
    known = np.flatnonzero(labels >= 0)
    pool = known if len(known) else np.arange(len(labels))
    count = min(len(pool), max(1, _SAMPLE_NUMBERS // classes))
    return pool[np.linspace(0, len(pool) - 1, count).astype(np.int64)]
