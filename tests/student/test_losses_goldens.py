"""Every golden of the public reference implementations: our losses return the same number to 1e-5.

Where ours is another form of the same formula (a KL where the reference leaves out the teacher's entropy), the test
adds what is missing, so that the difference is stated and checked too.
"""

import json
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from teachercache.stages.student.losses import kl
from teachercache.stages.student.losses.layers.energy import attention_transfer, energy_map
from teachercache.stages.student.losses.layers.feature import clip_fd
from teachercache.stages.student.losses.relation.affinity import clip_affinity
from teachercache.stages.student.losses.relation.contrast import clip_contrastive, siglip
from teachercache.stages.student.losses.relation.distances import rkd
from teachercache.stages.student.losses.relation.tokens import minilm
from teachercache.stages.student.losses.response.correlation import dist
from teachercache.stages.student.losses.response.decoupled import dkd, nkd
from teachercache.stages.student.losses.response.standardized import lskd
from teachercache.stages.student.losses.tokens.divergence import forward_kl, jensen, reverse_kl, total_variation
from teachercache.stages.student.losses.tokens.taid import taid

CASES = json.loads((Path(__file__).parents[1] / "goldens" / "losses.json").read_text())["cases"]


class Inputs:
    """The inputs of a case by name: tensors from their formula, lists as int64."""

    def __init__(self, case: str) -> None:
        self.recipes = CASES[case]["inputs"]

    def __getattr__(self, name: str) -> Tensor:
        recipe = self.recipes[name]
        if isinstance(recipe, list):
            return torch.tensor(recipe)
        i = np.arange(prod(recipe["shape"]), dtype=np.float64)
        a, b = recipe["a"], recipe["b"]
        values = recipe["scale"] * (np.sin(a * i + b) + 0.5 * np.cos(0.37 * a * i * 1.7 + 2 * b))
        return torch.from_numpy(values.astype(np.float32).reshape(recipe["shape"]))


def tokens(loss: Callable[..., Tensor], entropy: bool = False, **options: Any) -> Callable[[Inputs], Tensor]:
    """A loss on tokens as the references average it: over all that count. `entropy` adds the teacher's."""

    def value(given: Inputs) -> Tensor:
        mask = given.labels != -100
        found = loss(given.student_logits, given.teacher_logits, mask=mask, average="batch", **options).mean()
        p = given.teacher_logits.softmax(-1)
        return found - (p * p.log()).sum(-1)[mask].mean() if entropy else found

    return value


def symmetric(given: Inputs) -> Tensor:
    """The reference weighs forward by 0.1 and reverse by 0.9."""
    return 0.1 * tokens(forward_kl, entropy=True)(given) + 0.9 * tokens(reverse_kl)(given)


def interpolated(given: Inputs) -> Tensor:
    """The reference leaves out the entropy of the mixture."""
    mask = given.labels != -100
    p = (0.6 * given.student_logits + 0.4 * given.teacher_logits).softmax(-1)
    return tokens(taid, t=0.4)(given) - (p * p.log()).sum(-1)[mask].mean()


def transfer(given: Inputs) -> Tensor:
    """A cached energy map and the feature map itself are the same target."""
    found = attention_transfer(given.student, given.teacher)
    torch.testing.assert_close(attention_transfer(given.student, energy_map(given.teacher)), found)
    return found.mean()


def projected(given: Inputs) -> Tensor:
    total = torch.tensor(0.0)
    for modality in ("image", "text"):
        weight, bias = (getattr(given, f"{modality}_proj_{part}") for part in ("weight", "bias"))
        student = functional.linear(getattr(given, f"student_{modality}"), weight, bias)
        total = total + clip_fd(student, getattr(given, f"teacher_{modality}")).mean()
    return total


def relations(given: Inputs) -> Tensor:
    mask = torch.arange(6) < given.lengths.unsqueeze(1)
    return minilm(given.student_q, given.teacher_q, heads=4, mask=mask).mean()


def logits(loss: Callable[..., Tensor], labels: bool = False, **options: Any) -> Callable[[Inputs], Tensor]:
    def value(given: Inputs) -> Tensor:
        more = (given.labels,) if labels else ()
        found = loss(given.student_logits, given.teacher_logits, *more, **options)
        assert found.shape == (8,)
        return found.mean()

    return value


VALUES: dict[str, Callable[[Inputs], Tensor]] = {
    "kd_T1": logits(kl),
    "kd_T4": logits(kl, temperature=4.0),
    "dkd_a1_b8_T4": logits(dkd, labels=True, alpha=1.0, beta=8.0, temperature=4.0),
    "dkd_a1_b1_T1": logits(dkd, labels=True, alpha=1.0, beta=1.0, temperature=1.0),
    "lskd_T2": logits(lskd, temperature=2.0),
    "nkd_g1.5": logits(nkd, labels=True, gamma=1.5),
    "dist_inter": logits(dist, gamma=0.0),
    "dist_b1_g1": logits(dist),
    "attention_transfer_p2": transfer,
    "rkd_d25_a50": lambda given: rkd(given.student, given.teacher).mean(),
    "clip_contrastive": lambda given: clip_contrastive(given.student_image, given.student_text, scale=20.0).mean(),
    "siglip": lambda given: siglip(given.student_image, given.student_text).mean(),
    "clipkd_crd": lambda given: clip_affinity(
        given.student_image, given.student_text, given.teacher_image, given.teacher_text, scale=20, target_scale=50
    ).mean(),
    "clipkd_fd": projected,
    "tokens_forward_kl": tokens(forward_kl, entropy=True),
    "tokens_reverse_kl": tokens(reverse_kl),
    "tokens_symmetric_kl": symmetric,
    "tokens_js_distance": tokens(jensen, beta=0.1),
    "tokens_tv_distance": tokens(total_variation),
    "tokens_gjsd_beta0": tokens(jensen, beta=0.0),
    "tokens_gjsd_beta0.1": tokens(jensen, beta=0.1),
    "tokens_gjsd_beta0.5": tokens(jensen, beta=0.5),
    "tokens_gjsd_beta1": tokens(jensen, beta=1.0),
    "taid_t0.4": interpolated,
    "minilmv2_qq": relations,
}


def test_every_golden_is_used() -> None:
    assert set(VALUES) == set(CASES)


@pytest.mark.parametrize("case", VALUES)
def test_the_loss_equals_the_reference(case: str) -> None:
    assert float(VALUES[case](Inputs(case))) == pytest.approx(CASES[case]["expected"], rel=1e-5)
