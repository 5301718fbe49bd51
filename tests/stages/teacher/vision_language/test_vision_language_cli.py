"""A model of images and text from the command line: from tar shards to a cache that is verified."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from agent_models import PROMPTS
from agent_shards import FIELDS, INPUTS, VIEWS

from teachercache.cache import open_cache

SIGNALS: dict[str, dict[str, Any]] = {
    "spans": {"codec": "f32"},
    "hidden.-1.text": {"codec": "int8"},
    "picture": {"point": "hidden.1.image", "reduce": "mean"},
    "attention.1.text-image": {"codec": "u8sqrt"},
    "attention.1.image-image": {"codec": "u8sqrt"},  # rows of a block do not sum to 1, and verify must know
    "attention.0": {"codec": "u8sqrt", "causal": True},
    "vision.hidden.-1": {"codec": "int8"},
    "actions": {},
}


@pytest.fixture
def recipe(tmp_path: Path, told: Path, model_folder: Callable[[str], Path]) -> Path:
    content = {
        "name": "agent",
        "output": str(tmp_path / "run"),
        "source": {"path": str(told / "*.tar"), "label": None, "fields": FIELDS},
        "views": VIEWS,
        "teacher": {
            "model": str(model_folder("llava")),
            "device": "cpu",
            "workers": 2,
            "batch_size": 4,
            "max_tokens": 24,
            "prompt": PROMPTS["llava"],
            "inputs": INPUTS,
        },
        "cache": {"block": 4, "signals": SIGNALS},
    }
    file = tmp_path / "agent.yaml"
    file.write_text(yaml.safe_dump(json.loads(json.dumps(content))))
    return file


def test_llava_from_its_shards_to_a_verified_cache(run: Callable[..., str], recipe: Path, tmp_path: Path) -> None:
    assert "ready" in run("check", recipe)
    assert "2 shards, 12 rows" in run("cache", "build", recipe)
    run("cache", "verify", recipe)
    assert "equal byte for byte" in run("cache", "verify", recipe, "--teacher", "6")
    cache = open_cache(tmp_path / "run" / "cache")
    found: dict[str, Any] = dict(cache.read(np.arange(cache.rows)).signals)
    assert found["actions"].shape == (12, 3, 256) and found["picture"].shape == (12, 32)
    assert found["hidden.-1.text"].values.shape == (12, 24, 32)
    whole, block = found["attention.0"], found["attention.1.text-image"]
    assert (whole.lengths == block.lengths + 4 + 3).all()  # four patches and three coordinates are no text
    points = {point["point"] for point in json.loads(_json(run("teacher", "describe", recipe, "--json")))["points"]}
    assert {"projector", "actions", "attention.-1.text-image"} <= points


def _json(said: str) -> str:
    return said[said.index("{") : said.rindex("}") + 1]
