"""Kill -9 at random moments of a build and of training, continue, and nothing is lost, doubled or changed."""

import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

HERE = Path(__file__).parent


def make_images(folder: Path) -> None:
    """Eight shards of six images."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for shard in range(8):
        with tarfile.open(folder / f"train-{shard}.tar", "w") as tar:
            for number in range(6):
                buffer = io.BytesIO()
                Image.fromarray(rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(buffer, "PNG")
                for name, data in ((f"{shard}-{number}.png", buffer.getvalue()), (f"{shard}-{number}.cls", b"1")):
                    member = tarfile.TarInfo(name)
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))


def make_teacher(folder: Path) -> None:
    """A tiny random ViT."""
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessorPil

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    ViTForImageClassification(ViTConfig(image_size=16, patch_size=8, **sizes)).save_pretrained(folder)
    ViTImageProcessorPil(size={"height": 16, "width": 16}).save_pretrained(folder)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("kills", [8, pytest.param(50, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "killed", ["killed_build.py", "killed_extend.py", "killed_train.py", "killed_recode.py", "killed_merge.py"]
)
def test_kills_leave_every_round_equal_to_an_undisturbed_one(killed: str, kills: int, tmp_path: Path) -> None:
    make_images(tmp_path / "images")
    make_teacher(tmp_path / "teacher")
    args = [str(tmp_path / "rounds"), str(tmp_path / "images"), str(tmp_path / "teacher")]
    command = [sys.executable, str(HERE / "killing.py"), str(HERE / killed), str(kills), "0", *args]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert f"killed {kills}" in done.stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_builders_of_the_same_extensions_share_them(tmp_path: Path) -> None:
    make_images(tmp_path / "images")
    make_teacher(tmp_path / "teacher")
    args = [str(tmp_path / "rounds"), str(tmp_path / "images"), str(tmp_path / "teacher")]
    command = [sys.executable, str(HERE / "racing.py"), str(HERE / "killed_extend.py"), "3", *args]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "raced through 3 rounds" in done.stdout
