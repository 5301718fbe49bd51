"""Labels flipped on purpose, on real images and a real teacher, are found."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

from teachercache.cache import open_cache
from teachercache.cache.spec import SignalSpec
from teachercache.data import SourceSpec, ViewPolicy, ViewsSpec, open_source
from teachercache.stages.quality.quality import TeacherQuality, judge_teacher
from teachercache.stages.teacher.job import CacheJob
from teachercache.stages.teacher.runner import build_cache
from teachercache.stages.teacher.spec import TeacherSpec

SAMPLES = Path(__file__).parents[2] / "data" / "samples"
CLASSES = 10


def flip_labels(source: Path, target: Path, share: float) -> set[str]:
    """Copy a tar of samples, and give `share` of its labelled ones another class; their ids."""
    draw = np.random.default_rng(0)
    flipped = set()
    with tarfile.open(source) as read, tarfile.open(target, "w") as write:
        for member in read:
            data = read.extractfile(member).read()
            if member.name.endswith(".cls") and draw.random() < share:
                flipped.add(member.name.removesuffix(".cls"))
                data = str((int(data) + draw.integers(1, CLASSES)) % CLASSES).encode()
                member.size = len(data)
            write.addfile(member, io.BytesIO(data))
    return flipped


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> tuple[TeacherQuality, set[str]]:
    """The shipped teacher on held-out images of which a twentieth carries a wrong label."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("flipped")
    flipped = set()
    for tar in sorted((SAMPLES / "fashion-mnist").glob("test-*.tar")):
        flipped |= flip_labels(tar, folder / tar.name, 0.05)
    job = CacheJob(
        root=folder / "cache",
        source=open_source(SourceSpec(path=str(folder / "test-*.tar"))),
        policy=ViewPolicy(ViewsSpec(count=2, size=28, channels=1, operations=({"op": "flip", "p": 1.0},))),
        keep_pixels=False,
        teacher=TeacherSpec(model=str(SAMPLES / "fashion-mnist-vit"), workers=0),
        signals={"logits": SignalSpec(codec="f16"), "embedding": SignalSpec(codec="int8")},
        block=256,
    )
    build_cache(job)
    return judge_teacher(open_cache(folder / "cache")), flipped


def test_the_most_suspect_twentieth_holds_most_of_the_flipped_labels(judged: tuple[TeacherQuality, set[str]]) -> None:
    quality, flipped = judged
    assert quality.suspects is not None
    ids = quality.answers.ids[quality.suspects.samples]
    first = set(ids[: len(ids) // 20].tolist())
    assert len(first & flipped) >= 0.7 * len(flipped)


def test_the_estimated_number_of_wrong_labels_is_of_the_right_size(judged: tuple[TeacherQuality, set[str]]) -> None:
    quality, flipped = judged
    assert quality.suspects is not None
    assert 0.5 * len(flipped) <= quality.suspects.estimated <= 3 * len(flipped)


def test_the_score_is_a_margin_and_ascends(judged: tuple[TeacherQuality, set[str]]) -> None:
    suspects = judged[0].suspects
    assert suspects is not None
    assert (np.diff(suspects.score) >= 0).all() and suspects.score[0] >= -1 and suspects.score[-1] <= 1
    labels = judged[0].answers.labels[suspects.samples]
    wrong = suspects.score < 0
    assert (suspects.suggested[wrong] != labels[wrong]).all()


def test_figures_are_those_of_the_labels(judged: tuple[TeacherQuality, set[str]]) -> None:
    quality, flipped = judged
    answers = quality.answers
    assert quality.accuracy == np.mean(answers.top[:, 0, 0] == answers.labels)
    assert sum(one.samples for one in quality.per_class) == len(answers.ids) == 1350
    assert quality.view_agreement[0] == 1.0 and 0.7 < quality.view_agreement[1] < 1.0
    assert quality.view_divergence[0] == 0.0 < quality.view_divergence[1]
    assert np.all(answers.entropy <= np.log(CLASSES) + 1e-9)
    assert [one.signal for one in quality.spectra] == ["embedding"]
