"""Families from the command line: a file without students asks for a cache alone, and a killed build goes on."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from teachercache.cache import open_cache
from teachercache.pipeline.cli import main

CAPTION = {"caption": {"kind": "json", "ext": ["json"]}}
MODULE = '''
import torch

class Words(torch.nn.Module):
    """Counts the words of a sequence of numbers by an LSTM."""

    def __init__(self, width):
        super().__init__()
        self.lstm = torch.nn.LSTM(2, width, batch_first=True)
        self.out = torch.nn.Linear(width, 3)

    def forward(self, sequence, lengths):
        states, _ = self.lstm(sequence)
        return self.out(states[torch.arange(len(lengths)), lengths - 1])

def words(width, mixes=False):
    torch.manual_seed(0)
    return (Mixed if mixes else Words)(width)

class Mixed(Words):
    def forward(self, sequence, lengths):
        logits = super().forward(sequence, lengths)
        return logits - logits.mean(dim=0)
'''


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The command line in this process; what it printed, on one line."""

    def call(*args: object, code: int = 0) -> str:
        monkeypatch.setattr(sys, "argv", ["teachercache", *map(str, args)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
            sys.exit(0)
        said = capsys.readouterr()
        assert (left.value.code or 0) == code, said.out + said.err
        return " ".join((said.out + said.err).split())

    return call


@pytest.fixture
def write(tmp_path: Path, captioned: Path, teacher_folder: Callable[[str], Path]) -> Callable[..., Path]:
    """write(name of a teacher, signals): the YAML of a cache without students."""

    def make(name: str, signals: dict[str, Any], **sections: Any) -> Path:
        teacher = {"model": str(teacher_folder(name)), "device": "cpu", "batch_size": 4, "workers": 0}
        content = {
            "name": name,
            "output": str(tmp_path / name),
            "source": {"path": str(captioned / "*.tar"), "label": None, "fields": CAPTION},
            "views": {"size": 16},
            "teacher": teacher,
            "cache": {"block": 4, "signals": signals},
            **sections,
        }
        file = tmp_path / f"{name}.yaml"
        file.write_text(yaml.safe_dump(json.loads(json.dumps(content))))
        return file

    return make


SIGNALS: dict[str, dict[str, Any]] = {
    "clip": {"image_embeds": {}, "text_embeds": {}, "text.hidden.-1": {}, "text.attention.0": {"causal": True}},
    "bert": {"embedding": {}, "hidden.-1": {"codec": "int8"}, "attention.0": {"codec": "u8sqrt"}},
    "llama": {"hidden.-1": {}, "logits": {"reduce": "last", "codec": "topk", "k": 4}},
}


@pytest.mark.parametrize("name", list(SIGNALS))
def test_check_build_verify_and_inspect_know_the_family(
    write: Callable[..., Path], command: Callable[..., str], tmp_path: Path, name: str
) -> None:
    recipe = write(name, SIGNALS[name])
    assert "ready" in command("check", recipe) and not (tmp_path / name / "cache").exists()
    assert "2 shards, 10 rows" in command("cache", "build", recipe)
    assert "complete, 2 shards" in command("cache", "build", recipe)
    command("cache", "verify", recipe)
    said = json.loads(command("cache", "inspect", tmp_path / name / "cache", "--json"))
    assert said["rows"] == 10 and set(said["signals"]) == set(SIGNALS[name])
    assert "equal byte for byte" in command("cache", "verify", recipe, "--teacher", "6")


def test_a_file_without_students_is_refused_where_students_are_needed(
    write: Callable[..., Path], command: Callable[..., str]
) -> None:
    recipe = write("bert", SIGNALS["bert"])
    assert "students: this is required and missing" in command("train", recipe, code=2)


def test_a_build_that_was_killed_goes_on_to_an_equal_cache(
    write: Callable[..., Path], command: Callable[..., str], tmp_path: Path
) -> None:
    recipe = write("llama", SIGNALS["llama"])
    command("cache", "build", recipe)
    whole = open_cache(tmp_path / "llama" / "cache")
    rows = np.arange(whole.rows)
    expected = {name: whole.encoded(name, rows) for name in whole.signals}
    (tmp_path / "llama" / "cache").rename(tmp_path / "whole")
    child = subprocess.Popen(
        [sys.executable, "-m", "teachercache", "cache", "build", str(recipe)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while child.poll() is None and not list((tmp_path / "llama").glob("cache/receipts/*")):
        time.sleep(0.002)
    child.kill()
    child.wait()
    command("cache", "build", recipe)
    again = open_cache(tmp_path / "llama" / "cache")
    for name, parts in expected.items():
        for part, values in again.encoded(name, rows).items():
            np.testing.assert_array_equal(values, parts[part])
