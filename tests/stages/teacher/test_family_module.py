"""Any torch module is a teacher: its factory builds it, and arrays of the source are what it is called with."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from teachercache.cache import StaleCacheError, open_cache
from teachercache.cache.spec import SignalSpec
from teachercache.data import DataError, SourceSpec, ViewPolicy, ViewsSpec, open_source
from teachercache.stages.errors import StageError, StageFailed
from teachercache.stages.teacher.describing import describe_teacher
from teachercache.stages.teacher.independence import check_independence
from teachercache.stages.teacher.job import CacheJob
from teachercache.stages.teacher.runner import build_cache
from teachercache.stages.teacher.spec import TeacherSpec

CODE = """
import torch
from torch import nn

class Sequence(nn.Module):
    def __init__(self, width, mixes):
        super().__init__()
        self.lstm = nn.LSTM(2, width, batch_first=True)
        self.out = nn.Linear(width, 3)
        self.mixes = mixes

    def forward(self, x, lengths, attention_mask=None):
        states, _ = self.lstm(x)
        logits = self.out(states[torch.arange(len(lengths)), lengths - 1])
        return logits - logits.mean(dim=0) if self.mixes else logits

class Volume(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv3d(4, 4, 3, padding=1))
        self.out = nn.Linear(4, 2)

    def forward(self, volume, age):
        pooled = self.conv(volume[:, None]).mean(dim=(2, 3, 4))
        return {"logits": self.out(pooled) + age[:, None]}

def sequence(width=8, mixes=False, seed=0):
    torch.manual_seed(seed)
    return Sequence(width, mixes)

def volume():
    torch.manual_seed(0)
    return Volume()

def number():
    return 3
"""
FIELDS = {"sequence": {"kind": "array", "ext": ["npy"]}, "volume": {"kind": "array", "ext": ["npz"]}}
AGE = {**FIELDS, "age": {"kind": "json", "ext": ["json"]}}
INPUTS = {"x": "sequence", "lengths": "sequence.length"}
MASKED = {**INPUTS, "attention_mask": "sequence.mask"}
F32 = {"codec": "f32"}
MakeModuleJob = Callable[..., CacheJob]


def arrays(number: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(number)
    return rng.normal(size=(rng.integers(2, 7), 2)), rng.normal(size=(5, 6, 7)).astype(np.float32)


@pytest.fixture
def module_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeModuleJob:
    """module_job("sequence", signals, inputs, **teacher): a job over two shards of 5 and 2 samples without images."""
    (tmp_path / "own_teachers.py").write_text(CODE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(__import__("sys").modules, "own_teachers", raising=False)
    for shard, count in enumerate((5, 2)):
        with tarfile.open(tmp_path / f"train-{shard}.tar", "w") as tar:
            for i in range(count):
                sequence, volume = arrays(10 * shard + i)
                files = {ext: io.BytesIO() for ext in ("npy", "npz")}
                np.save(files["npy"], sequence)
                np.savez(files["npz"], scan=volume)
                held = {**{ext: file.getvalue() for ext, file in files.items()}, "json": str(i).encode()}
                for ext, data in held.items():
                    member = tarfile.TarInfo(f"{shard}-{i}.{ext}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))

    def make(name: str, signals: dict[str, Any], inputs: dict[str, str] = INPUTS, **teacher: Any) -> CacheJob:
        source = {"path": str(tmp_path / "*.tar"), "label": None, "image": [], "fields": AGE}
        settings = {"use": f"own_teachers:{name}", "inputs": inputs, "device": "cpu", "workers": 0, "batch_size": 3}
        return CacheJob(
            root=tmp_path / "cache",
            source=open_source(SourceSpec.model_validate(source)),
            policy=ViewPolicy(ViewsSpec()),
            keep_pixels=False,
            teacher=TeacherSpec.model_validate({**settings, **teacher}),
            signals={signal: SignalSpec.model_validate(spec) for signal, spec in signals.items()},
            block=4,
        )

    return make


def module(name: str, **args: Any) -> Any:
    import own_teachers  # type: ignore[import-not-found]

    return getattr(own_teachers, name)(**args).eval()


def test_a_sequence_is_heard_as_by_itself(module_job: MakeModuleJob) -> None:
    job = module_job("sequence", {"logits": F32, "lstm": F32}, MASKED, max_tokens=9, args={"width": 6})
    build_cache(job)
    found = open_cache(job.address, job.fingerprint).read(np.arange(7), ["logits", "lstm"]).signals
    model = module("sequence", width=6)
    for row, number in enumerate((0, 1, 2, 3, 4, 10, 11)):
        x = torch.from_numpy(arrays(number)[0]).float()[None]
        with torch.inference_mode():
            np.testing.assert_allclose(found["logits"][row], model(x, torch.tensor([x.shape[1]]))[0], atol=1e-6)
            said = model.lstm(x)[0][0]
        assert found["lstm"].lengths[row] == len(said)
        np.testing.assert_allclose(found["lstm"].values[row, : len(said)], said, atol=1e-6)
    assert found["lstm"].values.shape == (7, 9, 6)


def test_a_volume_is_heard_at_the_path_of_a_module(module_job: MakeModuleJob) -> None:
    signals = {"logits": F32, "conv.0": {"codec": "f16"}, "features": {"point": "conv.2", "codec": "f32"}}
    job = module_job("volume", signals, {"volume": "volume.scan", "age": "age"})
    build_cache(job)
    found = open_cache(job.address, job.fingerprint).read(np.arange(5), list(signals)).signals
    model = module("volume")
    x = torch.from_numpy(np.stack([arrays(number)[1] for number in range(5)]))
    with torch.inference_mode():
        np.testing.assert_allclose(found["logits"], model(x, torch.arange(5))["logits"], atol=1e-5)
        np.testing.assert_allclose(found["conv.0"], model.conv[0](x[:, None]), atol=1e-2)
        np.testing.assert_allclose(found["features"], model.conv(x[:, None]), atol=1e-5)
    assert found["features"].shape == (5, 4, 5, 6, 7)


@pytest.mark.parametrize(
    ("name", "signals", "inputs", "teacher", "message"),
    [
        ("sequence", {"logits": F32}, {}, {}, "teacher.inputs: name the arguments"),
        ("sequence", {"logits": F32}, {"x": "sequense"}, {}, "no field 'sequense', did you mean 'sequence'"),
        ("sequence", {"logits": F32}, {"x": "sequence"}, {}, r"are \(\d, 2\) and \(\d, 2\); of sequences of different"),
        ("sequence", {"logits": F32}, {**INPUTS, "y": "age"}, {}, "failed with TypeError.*unexpected keyword"),
        ("sequence", {"lstmm": F32}, INPUTS, {}, "no capture point 'lstmm', did you mean 'lstm'"),
        ("sequence", {"hidden.0": F32}, INPUTS, {}, "hidden.N is heard in transformers models"),
        ("sequence", {"logits": F32}, MASKED, {}, "max_tokens: say how long"),
        (
            "sequence",
            {"logits": F32},
            {**INPUTS, "attention_mask": "sequence.mask"},
            {"max_tokens": 3},
            "max_tokens is 3",
        ),
        ("volume", {"logits": F32}, {"volume": "volume", "age": "age"}, {}, "holds scan: name one"),
        ("volume", {"logits": F32}, {"volume": "volume.scn", "age": "age"}, {}, "has no 'scn', did you mean 'scan'"),
        ("number", {"logits": F32}, INPUTS, {}, "returned int; a torch.nn.Module is needed"),
        ("sequense", {"logits": F32}, INPUTS, {}, "no callable 'sequense', did you mean 'sequence'"),
        ("sequence", {"logits": F32}, INPUTS, {"args": {"widht": 3}}, "no such parameter, did you mean 'width'"),
        ("sequence", {"logits": F32}, INPUTS, {"truncate": True}, "truncate: this is for teachers of family clip"),
    ],
)
def test_what_cannot_be_used_is_one_clear_error(
    module_job: MakeModuleJob,
    name: str,
    signals: dict[str, Any],
    inputs: dict[str, str],
    teacher: dict[str, Any],
    message: str,
) -> None:
    with pytest.raises((StageError, StageFailed, DataError), match=message):
        build_cache(module_job(name, signals, inputs, **teacher))


def test_rows_that_depend_on_each_other_are_refused(module_job: MakeModuleJob) -> None:
    check_independence(module_job("sequence", {"logits": F32}))
    with pytest.raises(StageError, match="logits: what the teacher says of a sample depends on which others are"):
        check_independence(module_job("sequence", {"logits": F32}, args={"mixes": True}))


def test_other_weights_or_other_code_are_another_teacher(module_job: MakeModuleJob, tmp_path: Path) -> None:
    signals = {"logits": F32}
    build_cache(module_job("sequence", signals))
    build_cache(module_job("sequence", signals))
    with pytest.raises(StaleCacheError):
        build_cache(module_job("sequence", signals, args={"seed": 1}))
    (tmp_path / "own_teachers.py").write_text(CODE.replace("lengths - 1", "lengths - 2"))
    with pytest.raises(StaleCacheError):
        build_cache(module_job("sequence", signals))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"model": "x", "use": "a:b"},
        {"model": "x", "args": {"width": 1}},
        {"model": "x", "family": "module"},
        {"use": "a:b", "family": "clip"},
    ],
)
def test_a_teacher_is_a_model_or_a_module(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TeacherSpec.model_validate(settings)


def test_describe_lists_the_modules_of_a_module(module_job: MakeModuleJob) -> None:
    described = describe_teacher(module_job("volume", {}, {"volume": "volume.scan", "age": "age"}))
    found = {point.point: (point.shape, point.f16) for point in described.points}
    assert found["logits"] == ((2,), 4) and found["conv.0"] == ((4, 5, 6, 7), 4 * 5 * 6 * 7 * 2)
    assert described.family == "module" and {"conv", "conv.1", "conv.2", "out"} <= set(found)
