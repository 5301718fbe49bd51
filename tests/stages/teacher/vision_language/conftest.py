"""Shards of images with texts and actions, and jobs over them with tiny models of images and text."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from teachercache.cache.spec import SignalSpec
from teachercache.data import SourceSpec, ViewPolicy, ViewsSpec, open_source
from teachercache.stages.teacher.job import CacheJob
from teachercache.stages.teacher.spec import TeacherSpec

sys.path.insert(0, str(Path(__file__).parent))

from agent_models import MODELS, PROMPTS, WORDS, save_model  # noqa: E402
from agent_shards import FIELDS, INPUTS, VIEWS, write_shard  # noqa: E402


@pytest.fixture
def told(tmp_path: Path) -> Path:
    """Two shards with 4 and 2 images; texts of one to six words, actions of three coordinates."""
    rng, folder = np.random.default_rng(0), tmp_path / "told"
    folder.mkdir()
    for shard, count in enumerate((4, 2)):
        samples = {
            f"{shard}-{i}": (" ".join(rng.choice(WORDS, rng.integers(1, 7))), rng.uniform(-1, 1, 3))
            for i in range(count)
        }
        write_shard(folder / f"train-{shard}.tar", samples)
    return folder


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """model_folder("llava"), made once."""
    root = tmp_path_factory.mktemp("vision-language")

    def find(name: str) -> Path:
        return root / name if (root / name).exists() else save_model(name, root / name)

    return find


@pytest.fixture
def agent_job(tmp_path: Path, told: Path, model_folder: Callable[[str], Path]) -> Callable[..., CacheJob]:
    """agent_job("llava", signals, **teacher): a job over `told`, in batches of rows that differ in length."""

    def make(name: str, signals: dict[str, dict[str, Any]], **teacher: Any) -> CacheJob:
        model = {"model": str(model_folder(name))} if name in MODELS else {}
        settings = {"device": "cpu", "workers": 0, "batch_size": 6, "prompt": PROMPTS.get(name), "inputs": INPUTS}
        source = {"path": str(told / "*.tar"), "label": None, "fields": FIELDS}
        return CacheJob(
            root=tmp_path / "cache",
            source=open_source(SourceSpec.model_validate(source)),
            policy=ViewPolicy(ViewsSpec.model_validate(VIEWS)),
            keep_pixels=False,
            teacher=TeacherSpec.model_validate({**settings, **model, **teacher}),
            signals={signal: SignalSpec.model_validate(spec) for signal, spec in signals.items()},
            block=4,
        )

    return make
