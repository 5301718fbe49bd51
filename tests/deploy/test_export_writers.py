"""Students that write texts, exported with a key-value cache: they write what the model itself generates."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from test_export_kinds import IMAGE, SIZE, TEXT, finished
from torch import Tensor

from teachercache.stages.deploy.evaluation.candidate import Candidate
from teachercache.stages.deploy.export.export import Asked, export_student
from teachercache.stages.deploy.export.facts import Facts
from teachercache.stages.deploy.export.manifest import read_export
from teachercache.stages.deploy.export.rows import RealRows
from teachercache.stages.deploy.export.writers.check import check_writer
from teachercache.stages.deploy.export.writers.parts import WriterParts, writer_parts
from teachercache.stages.deploy.export.writers.writing import write
from teachercache.stages.deploy.predict import open_predictor
from teachercache.stages.deploy.quantise.export_int8 import Int8, export_int8
from teachercache.stages.errors import StageError, StageFailed
from teachercache.stages.student.files.saved import load_student

LLAVA = {
    "text_config": {**SIZE, "model_type": "llama", "num_key_value_heads": 1, "num_hidden_layers": 1},
    "vision_config": {**SIZE, "patch_size": 8, "model_type": "clip_vision_model"},
    "image_token_index": 5,
}
PALIGEMMA = {
    "text_config": {**SIZE, "model_type": "gemma", "head_dim": 8, "num_key_value_heads": 1},
    "vision_config": {**SIZE, "patch_size": 8, "model_type": "siglip_vision_model"},
    "image_token_index": 5,
    "projection_dim": 16,
}
IDEFICS = {
    "text_config": {**SIZE, "model_type": "llama"},
    "vision_config": {**SIZE, "patch_size": 4},
    "image_token_id": 5,
    "scale_factor": 2,
}
STUDENTS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "llava": ("transformers:LlavaConfig", {**IMAGE, **TEXT}, LLAVA),
    "paligemma": ("transformers:PaliGemmaConfig", {**IMAGE, **TEXT}, PALIGEMMA),
    "idefics3": ("transformers:Idefics3Config", {**IMAGE, **TEXT}, IDEFICS),
    "llama": ("transformers:LlamaConfig", TEXT, SIZE),
    "mistral": ("transformers:MistralConfig", TEXT, {**SIZE, "num_key_value_heads": 1, "sliding_window": 4}),
    "gemma2": (
        "transformers:Gemma2Config",
        TEXT,
        {**SIZE, "head_dim": 8, "num_key_value_heads": 1, "sliding_window": 4},
    ),
    "gpt2": ("transformers:GPT2Config", TEXT, {"n_embd": 16, "n_layer": 2, "n_head": 2}),
}
PROMPTS = ["red heart", "sun", "big blue square"]
MOST = 10


def student(folder: Path, kind: str) -> Candidate:
    use, inputs, args = STUDENTS[kind]
    torch.manual_seed(0)
    return finished(folder, use, inputs, args, ("logits",), task=None if "pixel_values" in inputs else "causal-lm")


def pictures() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (16, 16, 3), dtype=np.uint8) for _ in PROMPTS]


def items(kind: str) -> list[dict[str, Any]]:
    sees = "pixel_values" in STUDENTS[kind][1]
    return [
        {"image": picture, "text": text} if sees else {"text": text}
        for picture, text in zip(pictures(), PROMPTS, strict=True)
    ]


def generated(candidate: Candidate, prepared: Mapping[str, np.ndarray], generation: Mapping[str, Any]) -> list[int]:
    """What `generate` of transformers writes behind one prompt."""
    model: Any = load_student(candidate.folder, ("logits",)).model
    ids = [token for token in prepared["input_ids"].tolist() if token not in generation["end"]]
    given = {"input_ids": torch.tensor([[5] * generation["image_tokens"] + ids])}
    given["attention_mask"] = torch.ones_like(given["input_ids"])
    if "pixel_values" in prepared:
        pixels = torch.from_numpy(prepared["pixel_values"])[None]
        given["pixel_values"] = pixels.unsqueeze(1) if model.config.model_type == "idefics3" else pixels
        if model.config.model_type == "paligemma":
            given["token_type_ids"] = (torch.arange(given["input_ids"].shape[1]) >= generation["image_tokens"])[
                None
            ].long()
    said = model.generate(
        **given, max_new_tokens=MOST, do_sample=False, eos_token_id=generation["end"], pad_token_id=0
    )[0, given["input_ids"].shape[1] :].tolist()
    end = generation["end"][0]
    found: list[int] = said[: said.index(end)] if end in said else said
    return found


def check_against_generate(kind: str, candidate: Candidate, folder: Path) -> None:
    predictor = open_predictor(folder, most_tokens=MOST)
    generation = read_export(folder).generation
    assert generation is not None and generation["end"] == [3]  # the tokenizer's, and not the config's 2
    asked = items(kind)
    together = predictor.predict(asked)["tokens"]
    for item, tokens in zip(asked, together, strict=True):
        names = {"image": "pixel_values", "text": "input_ids"}
        prepared: dict[str, np.ndarray] = {}
        for what, value in item.items():
            prepared |= predictor.model.readings[names[what]].read(names[what], value)
        assert [token for token in tokens.tolist() if token >= 0] == generated(candidate, prepared, generation)
        np.testing.assert_array_equal(predictor.predict(item)["tokens"], tokens)


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> tuple[Candidate, Path]:
    """A vision-language student of random weights, and its export."""
    pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")
    folder = tmp_path_factory.mktemp("llava")
    candidate = student(folder, "llava")
    export_student(candidate, Asked("onnx", folder / "out"), Facts())
    return candidate, folder / "out"


def test_three_graphs_write_what_the_model_generates(llava: tuple[Candidate, Path]) -> None:
    candidate, folder = llava
    about = read_export(folder)
    assert (about.kind, list(about.graphs)) == ("writer", ["image", "embed", "decoder"])
    assert about.check["largest_difference"] <= 1e-4
    assert about.graphs["decoder"].inputs[3].shape == ("batch", 1, "past", 8)
    check_against_generate("llava", candidate, folder)


def test_it_writes_without_torch_and_from_the_command_line(
    llava: tuple[Candidate, Path], run: Callable[..., str], tmp_path: Path
) -> None:
    _, folder = llava
    Image.fromarray(pictures()[0]).save(tmp_path / "a.png")
    [found] = json.loads(
        run("predict", folder, tmp_path / "a.png", "--text", PROMPTS[0], "--most-tokens", "64", "--json")
    )
    assert len(found["text"].split()) > 5 and found["outputs"]["tokens"][0] >= 0
    block = "import sys, runpy; sys.modules.update(torch=None, teachercache=None, transformers=None); "
    words = ["run.py", f"pixel_values={tmp_path / 'a.png'}", f"input_ids={PROMPTS[0]}"]
    code = block + f"sys.path.insert(0, {str(folder)!r}); sys.argv = {words!r}; "
    code += f"runpy.run_path({str(folder / 'run.py')!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == found["text"]


def test_a_writer_is_measured_one_token_behind_a_prompt(llava: tuple[Candidate, Path], run: Callable[..., str]) -> None:
    [row] = json.loads(run("bench-model", llava[1], "--runs", "5", "--batches", "1", "--json"))["models"]
    assert row["form"] == "onnx float32" and row["latency"]["1"]["p50_ms"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["paligemma", "idefics3", "llama", "gpt2", "mistral", "gemma2"])
def test_any_student_that_writes_does_so_without_torch(tmp_path: Path, kind: str) -> None:
    candidate = student(tmp_path, kind)
    export_student(candidate, Asked("onnx", tmp_path / "out"), Facts())
    check_against_generate(kind, candidate, tmp_path / "out")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["llava", "idefics3"])
def test_a_folder_for_transformers_writes_the_same(tmp_path: Path, kind: str) -> None:
    candidate = student(tmp_path, kind)
    for target in ("onnx", "hf"):
        export_student(candidate, Asked(target, tmp_path / target), Facts())
    Image.fromarray(pictures()[0]).save(tmp_path / "a.png")
    said = []
    for target, names in (("onnx", ("pixel_values=", "input_ids=")), ("hf", ("", ""))):
        words = [f"{names[0]}{tmp_path / 'a.png'}", f"{names[1]}{PROMPTS[0]}"]
        script = [sys.executable, "-W", "ignore", str(tmp_path / target / "run.py"), *words]
        done = subprocess.run(script, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        said.append(done.stdout.split())
    assert said[0] == said[1] and said[0]


@pytest.mark.slow
def test_int8_says_the_same_next_token(tmp_path: Path) -> None:
    candidate, rng = student(tmp_path, "llama"), np.random.default_rng(0)
    ids = rng.integers(6, 2500, (80, 8))
    rows = RealRows({"input_ids": ids, "attention_mask": np.ones_like(ids)}, np.zeros(80, np.int64))
    made = export_int8(candidate, Asked("onnx", tmp_path / "int8"), Facts(), Int8(rows))
    assert made.quantisation is not None and made.kind == "writer" and made.precision == "int8"
    assert made.quantisation["agreement"] > 0.9 and made.quantisation["drift_points"] is None
    assert made.quantisation["share_of_float_bytes"] < 0.4  # the table of tokens, most of it, is in 8 bits too
    with pytest.raises(StageError, match="--way static-u8s8: a student that writes texts"):
        export_int8(candidate, Asked("onnx", tmp_path / "other"), Facts(), Int8(rows, way="static-u8s8"))
    with pytest.raises(StageFailed, match="agrees with its float parent on .* of 80 rows"):
        export_int8(candidate, Asked("onnx", tmp_path / "other"), Facts(), Int8(rows, least_agreement=1.01))
    assert not (tmp_path / "other").exists()


def in_torch(writer: WriterParts) -> Callable[[str, Mapping[str, np.ndarray]], dict[str, np.ndarray]]:
    """The graphs as they are before they are written."""

    def run(name: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        part = writer.parts[name]
        with torch.inference_mode():
            said: tuple[Tensor, ...] = part.module(*(torch.from_numpy(inputs[one]) for one in part.example))
        return {one: values.numpy() for one, values in zip(part.outputs, said, strict=True)}

    return run


def test_a_cache_that_is_read_wrongly_is_refused(tmp_path: Path) -> None:
    candidate = student(tmp_path, "llama")
    writer, shapes = writer_parts(candidate), candidate.saved.shape.completed(candidate.saved.student).inputs
    run = in_torch(writer)
    assert check_writer(writer, shapes, run, 1e-4, "out") < 1e-5

    def changed(what: str, change: Callable[[np.ndarray], np.ndarray]) -> Any:
        def wrong(name: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            return run(name, {one: change(v) if one == what else v for one, v in inputs.items()})

        return wrong

    wrongs = [
        changed("position_ids", lambda places: places * 0),
        changed("attention_mask", np.ones_like),  # padding is read
        changed("past.0.key", lambda kept: kept[:, :, ::-1].copy()),
    ]
    for wrong in wrongs:
        with pytest.raises(StageFailed, match="differs from torch by"):
            check_writer(writer, shapes, wrong, 1e-4, "out")


def counting(vocabulary: int = 9, broken: int | None = None) -> Callable[..., dict[str, np.ndarray]]:
    """Graphs of a model that says the number behind the last one, and NaN behind `broken`."""

    def run(name: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        if name == "embed":
            return {"inputs_embeds": inputs["input_ids"][..., None].astype(np.float32)}
        numbers = inputs["inputs_embeds"][..., 0].astype(np.int64)
        logits = np.eye(vocabulary, dtype=np.float32)[(numbers + 1) % vocabulary]
        logits[numbers == broken] = np.nan
        return {"logits": logits}

    return run


COUNTS: dict[str, Any] = {"cache": [], "image_tokens": 0, "end": [7], "longest": 12}


def test_rows_end_where_their_text_does_and_prompts_lose_their_own_end() -> None:
    prompts = {
        "input_ids": np.array([[4, 7, 0], [1, 2, 3], [2, 0, 0]]),
        "attention_mask": np.array([[1, 1, 0], [1] * 3, [1, 0, 0]]),
    }
    assert write(counting(), COUNTS, prompts, 4).tolist() == [[5, 6, -1, -1], [4, 5, 6, -1], [3, 4, 5, 6]]
    assert write(counting(), {**COUNTS, "end": []}, prompts, 3).tolist() == [[8, 0, 1], [4, 5, 6], [3, 4, 5]]


def test_a_prompt_without_room_and_a_model_without_numbers_are_errors() -> None:
    prompt = {"input_ids": np.array([[1, 2, 3]])}
    assert write(counting(), {**COUNTS, "longest": 5}, prompt, 4).tolist() == [[4, 5, -1, -1]]
    with pytest.raises(ValueError, match="has 3 tokens and leaves no room in the 3 that the model can hold"):
        write(counting(), {**COUNTS, "longest": 3}, prompt, 4)
    with pytest.raises(ValueError, match="logits of the next token are not finite"):
        write(counting(broken=4), COUNTS, prompt, 4)


def test_what_a_writer_cannot_be_exported_as_is_refused(tmp_path: Path) -> None:
    candidate = student(tmp_path, "llama")
    with pytest.raises(StageError, match="key-value cache are made by --to onnx alone, not by web"):
        export_student(candidate, Asked("web", tmp_path / "out"), Facts())
    with pytest.raises(StageError, match="leave out --outputs"):
        export_student(candidate, Asked("onnx", tmp_path / "out", ("logits",)), Facts())
    assert not (tmp_path / "out").exists()
