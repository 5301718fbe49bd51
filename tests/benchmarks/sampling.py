"""What a student loses when the cache keeps a few classes of each row: its KL from the teacher, over that of a student
that learnt from all of them.

A teacher of 400 classes speaks once about 40,000 samples. Students of equal weights see equal batches of equal cached
rows, decoded by the codecs themselves; what differs is the codec. "Renormalised" is what a top-k cache without its tail
leaves to do: the softmax of the kept logits. Below: rows encoded and losses taken a second.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from contest import Contender, contest
from figure import Figure, compared
from torch import Tensor, nn

from teachercache.cache import SampledTargets, SignalSchema, SparseLogits
from teachercache.cache.codecs import build_codec
from teachercache.stages.student.losses import kl

_CLASSES, _WIDTH = 400, 16


@dataclass(frozen=True, slots=True)
class Size:
    samples: int
    held_out: int
    epochs: int
    rounds: int


FULL = Size(samples=40_000, held_out=5_000, epochs=6, rounds=5)
TINY = Size(samples=300, held_out=100, epochs=1, rounds=1)


@dataclass(frozen=True, slots=True)
class Arm:
    """How the teacher's logits are kept, and at which temperature they are learnt."""

    codec: str
    parameters: Mapping[str, Any]
    temperature: float = 1.0
    renormalised: bool = False

    def target(self, logits: Tensor) -> Any:
        """What the cache says of rows of logits."""
        codec = build_codec(self.codec, self.parameters)
        found = codec.decode(codec.encode(logits), (_CLASSES,))
        if not self.renormalised:
            return found
        assert isinstance(found, SparseLogits)
        weights = (found.values / self.temperature).softmax(dim=-1)
        return SampledTargets(found.ids, {self.temperature: weights}, torch.zeros(len(weights)), _CLASSES)

    def bytes(self) -> int:
        """Bytes of a row; of a renormalised one without the tails, which it does not read."""
        codec = build_codec(self.codec, self.parameters)
        row = SignalSchema("x", codec.name, codec.parameters, (_CLASSES,)).row_bytes()
        return row - 12 if self.renormalised else row


FIRST = "top 16, renormalised"  # what the others are compared with
ARMS = {
    FIRST: Arm("topk", {"k": 16}, renormalised=True),
    "top 16 and its tail": Arm("topk", {"k": 16}),
    "sampling, 24 draws": Arm("sampling", {"draws": 24}),
    "pps, k 16": Arm("pps", {"k": 16}),
    "top 50, renormalised": Arm("topk", {"k": 50}, renormalised=True),
    "pps, k 50": Arm("pps", {"k": 50}),
}
HOT = 2.0
HOT_ARMS = {
    FIRST: Arm("topk", {"k": 16}, HOT, renormalised=True),
    "top 16 and its tail": Arm("topk", {"k": 16}, HOT),
    "pps, k 16": Arm("pps", {"k": 16}, HOT),
    "pps, k 16, drawn at 2": Arm("pps", {"k": 16, "sample_temperature": HOT}, HOT),
}


def measure(tiny: bool, scratch: Path) -> list[Figure]:
    """The figures of this benchmark."""
    size = TINY if tiny else FULL
    return [*_excess(size, 1.0, ARMS), *_excess(size, HOT, HOT_ARMS), *_speed(64 if tiny else 512, size.rounds)]


def _excess(size: Size, temperature: float, arms: Mapping[str, Arm]) -> list[Figure]:
    dense = _divergence(size, Arm("f16", {}, temperature))
    excess = {name: _divergence(size, arm) - dense for name, arm in arms.items()}
    about = f"the teacher's entropy is {_entropy(temperature):.2f} nats, the KL of the dense student {dense:.4f}"
    return [_lost(f"{name}, T {temperature:g}", arm, excess, name, about) for name, arm in arms.items()]


def _lost(what: str, arm: Arm, excess: Mapping[str, float], name: str, note: str) -> Figure:
    """A sample of 16 is meant to be worth the top 50."""
    judged = what == "pps, k 16, T 1"
    return Figure(
        f"excess KL: {what}",
        f"{excess[name]:.4f} nats, {arm.bytes()} B/row",
        f"{FIRST}: {excess[FIRST]:.4f} nats",
        max(excess[FIRST], 1e-6) / max(excess[name], 1e-6),
        bar="<= top 50" if judged else "",
        reached=excess[name] <= excess["top 50, renormalised"] if judged else None,
        note=note if name == FIRST else "",
    )


def _teacher() -> Callable[[Tensor], Tensor]:
    """A random network whose logits have a few large classes and a long tail."""
    draw = torch.Generator().manual_seed(0)
    first, second = torch.randn(_WIDTH, 48, generator=draw), torch.randn(48, _CLASSES, generator=draw)
    return lambda x: torch.tanh(x @ first / 4) @ second * 0.6


def _samples(count: int, seed: int) -> Tensor:
    return torch.randn(count, _WIDTH, generator=torch.Generator().manual_seed(seed))


def _entropy(temperature: float) -> float:
    log_p = (_teacher()(_samples(2000, 3)) / temperature).log_softmax(dim=-1)
    return float(-(log_p.exp() * log_p).sum(dim=-1).mean())


def _divergence(size: Size, arm: Arm) -> float:
    """Mean KL(teacher || student) on held-out samples at the arm's temperature, after training."""
    x, held_out = _samples(size.samples, 1), _samples(size.held_out, 2)
    student = _train(size, arm, x, arm.target(_teacher()(x)))
    with torch.no_grad():
        values = kl(student(held_out), _teacher()(held_out), temperature=arm.temperature)
    return float(values.mean()) / arm.temperature**2


def agreement(size: Size, arm: Arm, seed: int) -> float:
    """Held-out samples whose likeliest class is the teacher's after training from `seed`, in percent."""
    x, held_out = _samples(size.samples, 1), _samples(size.held_out, 2)
    student = _train(size, arm, x, arm.target(_teacher()(x)), seed)
    with torch.no_grad():
        same = student(held_out).argmax(-1) == _teacher()(held_out).argmax(-1)
    return 100 * float(same.float().mean())


def _train(size: Size, arm: Arm, x: Tensor, target: Any, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    student = nn.Sequential(nn.Linear(_WIDTH, 128), nn.GELU(), nn.Linear(128, _CLASSES))
    optimizer = torch.optim.Adam(student.parameters(), lr=4e-3)
    batches = [rows for _ in range(size.epochs) for rows in torch.randperm(len(x)).split(256)]
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, len(batches))
    for rows in batches:
        optimizer.zero_grad()
        kl(student(x[rows]), _rows(target, rows), temperature=arm.temperature).mean().backward()
        optimizer.step()
        schedule.step()
    return student


def _rows(target: Any, rows: Tensor) -> Any:
    """Some rows of a decoded form."""
    if isinstance(target, SampledTargets):
        weights = {t: weight[rows] for t, weight in target.weights.items()}
        return SampledTargets(target.ids[rows], weights, target.entropy[rows], target.classes)
    if isinstance(target, SparseLogits):
        tails = {t: tail[rows] for t, tail in target.tails.items()}
        return SparseLogits(target.ids[rows], target.values[rows], tails, target.classes)
    return target[rows]


def _speed(rows: int, rounds: int) -> list[Figure]:
    """Of 1,000 classes on the CPU."""
    logits = torch.randn(rows, 1000, generator=torch.Generator().manual_seed(0)) * 3
    codecs = {"pps": build_codec("pps", {"k": 16}), "topk": build_codec("topk", {"k": 16, "entropy": True})}
    encoding = {name: Contender(rows, lambda _, c=codec: c.encode(logits)) for name, codec in codecs.items()}
    targets: dict[str, Any] = {name: c.decode(c.encode(logits), (1000,)) for name, c in codecs.items()}
    targets["dense"] = logits
    losses = {name: Contender(rows, lambda _, t=t: _step(logits, t)) for name, t in targets.items()}
    taken = contest(losses, rounds)
    return [
        compared("encode 1,000 logits, k 16", contest(encoding, rounds), "pps", "topk", "rows"),
        compared("kl and its gradient, k 16 of 1,000", taken, "pps", "topk", "rows"),
        compared("kl and its gradient, k 16 of 1,000", taken, "pps", "dense", "rows"),
    ]


def _step(logits: Tensor, target: Any) -> None:
    kl(logits.flip(0).requires_grad_(), target).sum().backward()
