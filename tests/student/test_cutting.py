"""A student cut from a saved model: with nothing cut it is that model, with layers left out the one built by hand, and
of heads and widths the largest stay."""

import copy
import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from teachercache.stages.errors import StageError
from teachercache.stages.student.files.identity import trial_identity
from teachercache.stages.student.files.saved import load_student, save_student
from teachercache.stages.student.models.builders import build_student, origin_fingerprint
from teachercache.stages.student.spec import TrainSpec
from teachercache.stages.student.trial.trial import Trial

IMAGE, TEXT = ("pixel_values",), ("input_ids",)
SIZE = {"hidden_size": 8, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 12}
TOWERS = {"vision_config": {**SIZE, "image_size": 8, "patch_size": 4}, "projection_dim": 6}
TOWERS |= {"text_config": {**SIZE, "vocab_size": 20, "eos_token_id": 1}}
TEACHERS: dict[str, tuple[str, str, dict[str, Any], tuple[str, ...], tuple[str, ...]]] = {
    "vit": (
        "AutoModelForImageClassification",
        "ViTConfig",
        {**SIZE, "image_size": 8, "patch_size": 4},
        IMAGE,
        ("logits",),
    ),
    "bert": ("AutoModelForSequenceClassification", "BertConfig", {**SIZE, "vocab_size": 20}, TEXT, ("logits",)),
    "mlm": ("AutoModelForMaskedLM", "BertConfig", {**SIZE, "vocab_size": 20}, TEXT, ("hidden.-1",)),
    "clip": ("AutoModel", "CLIPConfig", TOWERS, IMAGE + TEXT, ("image_embeds", "text_embeds", "logits_per_image")),
    "llama": (
        "AutoModelForCausalLM",
        "LlamaConfig",
        {**SIZE, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 20, "head_dim": 4},
        TEXT,
        ("logits",),
    ),
}
Teacher = Callable[[str], tuple[Any, Path]]


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Teacher:
    """A small model with noise for weights, biases too, and its folder."""
    made: dict[str, tuple[Any, Path]] = {}

    def get(name: str) -> tuple[Any, Path]:
        if name not in made:
            import transformers
            from transformers.utils import logging

            logging.disable_progress_bar()
            auto, config, args, _, _ = TEACHERS[name]
            labels = {"num_labels": 5} if name in ("vit", "bert") else {}
            settings = getattr(transformers, config)(**args, **labels)
            settings.architectures = []
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(7)
                model = getattr(transformers, auto).from_config(settings).eval()
                with torch.no_grad():
                    for parameter in model.parameters():
                        parameter.add_(0.2 * torch.randn_like(parameter))
            folder = tmp_path_factory.mktemp(name)
            model.save_pretrained(folder)
            made[name] = model, folder
        return made[name]

    return get


def cut(students: ModuleType, teacher: Teacher, name: str, outputs: tuple[str, ...] = (), **args: Any) -> Any:
    more = {key: args.pop(key) for key in ("task", "init") if key in args}
    _, _, _, takes, usual = TEACHERS[name]
    return students.built("teacher", takes, outputs or usual, {"model": str(teacher(name)[1]), **args}, **more)


@pytest.mark.parametrize("name", TEACHERS)
def test_with_nothing_cut_it_says_what_the_model_says(students: ModuleType, teacher: Teacher, name: str) -> None:
    model, _ = teacher(name)
    inputs = students.batch(TEACHERS[name][3])
    with torch.no_grad():
        found, theirs = cut(students, teacher, name)(inputs), model(**inputs, output_hidden_states=True)
    if name == "clip":
        torch.testing.assert_close(found["logits_per_image"], theirs.logits_per_image, rtol=0, atol=1e-6)
    elif name == "mlm":
        torch.testing.assert_close(found["hidden.-1"], theirs.hidden_states[-1], rtol=0, atol=0)
    else:
        torch.testing.assert_close(found["logits"], theirs.logits, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("args", "kept"),
    [
        ({"layers": 2}, (2, 4)),
        ({"layers": 2, "map": "last-k"}, (3, 4)),
        ({"layers": [1, 2, 4]}, (1, 2, 4)),
    ],
)
@pytest.mark.parametrize("name", ["vit", "bert", "llama"])
def test_layers_that_are_left_out_are_as_if_removed_by_hand(
    students: ModuleType, teacher: Teacher, name: str, args: dict[str, Any], kept: tuple[int, ...]
) -> None:
    model = deepcopy(teacher(name)[0])
    inside = {"vit": "vit", "bert": "bert.encoder", "llama": "model"}[name]
    owner, layers = model.get_submodule(inside), "layer" if name == "bert" else "layers"
    setattr(owner, layers, torch.nn.ModuleList(getattr(owner, layers)[number - 1] for number in kept))
    model.config.num_hidden_layers = len(kept)
    model.config.use_cache = False  # it counts layers by their old numbers
    inputs = students.batch(TEACHERS[name][3])
    with torch.no_grad():
        found = cut(students, teacher, name, **args)(inputs)["logits"]
        torch.testing.assert_close(found, model(**inputs).logits, rtol=0, atol=1e-6)


def test_towers_are_cut_each_by_itself(students: ModuleType, teacher: Teacher) -> None:
    model = deepcopy(teacher("clip")[0])
    student = cut(students, teacher, "clip", vision={"layers": 1}, text={"layers": 2, "mlp": 5})
    encoder = model.vision_model.encoder
    encoder.layers = encoder.layers[3:]
    inputs = students.batch(IMAGE + TEXT)
    with torch.no_grad():
        theirs = model.get_image_features(inputs["pixel_values"]).pooler_output
        torch.testing.assert_close(student(inputs)["image_embeds"], theirs, rtol=0, atol=1e-6)
    assert student.model.text_model.encoder.layers[0].mlp.fc1.weight.shape == (5, 8)


@pytest.mark.parametrize("name", ["vit", "bert", "llama"])
def test_units_that_say_nothing_are_cut_without_a_trace(
    students: ModuleType, teacher: Teacher, name: str, tmp_path: Path
) -> None:
    """A head and MLP units whose weights are 0 go first, in each layer others, and what is left says the same."""
    model = deepcopy(teacher(name)[0])
    heads = {"vit": 2, "bert": 2, "llama": 2}[name]  # of llama those of keys
    with torch.no_grad():
        for number in range(4):
            for path, weights in model.state_dict().items():
                if f".{number}." not in path or "norm" in path.lower():
                    continue
                rows = len(weights) // heads
                out = path.endswith(("o_proj.weight", "attention.output.dense.weight"))
                if any(word in path for word in ("q_proj", "k_proj", "v_proj", "query", "key", "value")):
                    weights[(number % heads) * rows : (number % heads + 1) * rows] = 0
                elif out:
                    columns = weights.shape[1] // heads
                    weights[:, (number % heads) * columns : (number % heads + 1) * columns] = 0
                elif (
                    path.endswith(("fc1.weight", "fc1.bias", "gate_proj.weight", "up_proj.weight"))
                    or ".intermediate." in path
                ):
                    weights[number : number + 3] = 0
                elif path.endswith(("fc2.weight", "down_proj.weight", f".{number}.output.dense.weight")):
                    weights[:, number : number + 3] = 0
    model.save_pretrained(tmp_path)
    takes = TEACHERS[name][3]
    args: dict[str, Any] = {"model": str(tmp_path), "mlp": 9, **({"heads": 2} if name == "llama" else {})}
    inputs = students.batch(takes)
    with torch.no_grad():
        found = students.built("teacher", takes, ("logits",), args)(inputs)["logits"]
        torch.testing.assert_close(found, model(**inputs).logits, rtol=0, atol=1e-6)


def test_widths_are_slices_of_the_residual_stream(students: ModuleType, teacher: Teacher) -> None:
    """The same places in every layer, of every tensor that reads or writes it; by number where it is asked."""
    weights = teacher("vit")[0].state_dict()
    first = cut(students, teacher, "vit", width=4, choose="first").model.state_dict()
    torch.testing.assert_close(first["vit.layers.3.mlp.fc1.weight"], weights["vit.layers.3.mlp.fc1.weight"][:, :4])
    torch.testing.assert_close(
        first["vit.embeddings.position_embeddings"], weights["vit.embeddings.position_embeddings"][..., :4]
    )
    torch.testing.assert_close(first["classifier.weight"], weights["classifier.weight"][:, :4])
    large = cut(students, teacher, "vit", width=4).model.state_dict()["classifier.weight"]
    places = [int((weights["classifier.weight"] == column[:, None]).all(dim=0).nonzero()) for column in large.T]
    assert places == sorted(places) and places != [0, 1, 2, 3]


def test_heads_may_become_narrower_where_they_share_the_width(students: ModuleType, teacher: Teacher) -> None:
    student = cut(students, teacher, "bert", width=6, heads=2, mlp=5, layers=3)
    assert student.model.config.num_attention_heads == 2 and student.model.config.hidden_size == 6
    assert student(students.batch(TEXT))["logits"].shape == (3, 5) and student.fresh == ()


def test_a_head_for_other_classes_or_another_task_is_new_and_named(students: ModuleType, teacher: Teacher) -> None:
    folder = str(teacher("vit")[1])
    spec = students.settings(f"pretrained:{folder}", IMAGE)
    student: Any = build_student(spec, students.given(IMAGE, classes=3), ("logits",), 0).eval()
    assert student.fresh == ("classifier.weight", "classifier.bias")
    theirs = teacher("vit")[0].vit.state_dict()
    torch.testing.assert_close(student.model.vit.state_dict(), theirs, rtol=0, atol=0)
    classifier = cut(students, teacher, "mlm", ("logits",), task="text-classification", layers=2)
    assert set(classifier.fresh) == {
        "bert.pooler.dense.weight",
        "bert.pooler.dense.bias",
        "classifier.weight",
        "classifier.bias",
    }


def test_a_teacher_kept_in_float16_has_students_in_float32(
    students: ModuleType, teacher: Teacher, tmp_path: Path
) -> None:
    model, _ = teacher("vit")
    copy.deepcopy(model).half().save_pretrained(tmp_path / "half")
    half = str(tmp_path / "half")
    for use, args in (("teacher", {"layers": 2, "model": half}), (f"pretrained:{half}", {})):
        student = students.built(use, IMAGE, ("logits",), args)
        assert {parameter.dtype for parameter in student.parameters()} == {torch.float32}, use


def test_a_random_start_has_the_form_alone(students: ModuleType, teacher: Teacher) -> None:
    copied, random = (cut(students, teacher, "vit", layers=2, init=init) for init in ("from_teacher", "random"))
    shapes = [{name: tensor.shape for name, tensor in one.state_dict().items()} for one in (copied, random)]
    assert shapes[0] == shapes[1]
    name = "model.vit.layers.0.mlp.fc1.weight"
    assert not torch.equal(copied.state_dict()[name], random.state_dict()[name])


def test_a_cut_student_is_known_by_what_it_was_cut_from(students: ModuleType, teacher: Teacher, tmp_path: Path) -> None:
    """Wherever that lies; and once it is finished, it is loaded without it."""
    model, folder = teacher("vit")
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in folder.iterdir():
        (moved / path.name).write_bytes(path.read_bytes())
    shape, train = students.given(IMAGE), TrainSpec(steps=1)
    specs = [students.settings("teacher", IMAGE, {"model": str(place), "layers": 2}) for place in (folder, moved)]
    prints = [origin_fingerprint(spec, shape) for spec in specs]
    identities = [trial_identity(Trial(spec, "distilled", 0), train, {}, {}, prints[0]) for spec in specs]
    assert prints[0] == prints[1] is not None and identities[0] == identities[1]
    assert identities[0]["origin"] == prints[0]
    student = build_student(specs[1], shape, ("logits",), 0).eval()
    (tmp_path / "trial").mkdir()
    save_student(tmp_path / "trial", Trial(specs[1], "distilled", 0), student, shape.completed(specs[1]), 1, 0.0)
    (moved / "config.json").write_text((moved / "config.json").read_text() + " ")
    assert origin_fingerprint(specs[1], shape) != prints[0]
    for path in moved.iterdir():
        path.unlink()
    inputs = students.batch(IMAGE)
    with torch.no_grad():
        found = load_student(tmp_path / "trial")(inputs)["logits"]
        torch.testing.assert_close(found, student(inputs)["logits"], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        ("vit", {"layers": 9}, "args.layers: .* 9 layers cannot"),
        ("vit", {"layers": [0, 2]}, "args.layers: .* layers 1 to 4, and the list names"),
        ("vit", {"layers": "half"}, "args.layers: a number of layers or a list of them is needed, and not 'half'"),
        ("vit", {"layers": 2, "map": "firsts"}, "there is no 'firsts'"),
        ("vit", {"width": 5}, "args.width: heads of ViTConfig share its width"),
        ("vit", {"mlp": 13}, "args.mlp: 13 of 12 cannot be kept"),
        ("vit", {"depth": 3}, "args.depth: teacher has no such parameter"),
        ("vit", {"choose": "best"}, "args.choose: 'best' is neither magnitude nor first"),
        ("vit", {"text": {"layers": 2}}, "args.text: ViTForImageClassification has no text tower"),
        ("vit", {"config": {"dropuot": 0.1}}, "args.config.dropuot: ViTConfig has none"),
        ("clip", {"layers": 2}, "args.layers: CLIPModel has towers: say it under vision or text"),
        ("clip", {"vision": {"layer": 2}}, "args.vision.layer: there is no such cut, did you mean 'layers'"),
        ("clip", {"projection": 7}, "args.projection: 7 of 6 cannot be kept"),
        ("llama", {"heads": 3}, "args.heads: 2 heads share a key, and stay together"),
        ("llama", {"task": "text"}, "no task 'text'"),
    ],
)
def test_what_cannot_be_cut_is_refused(
    students: ModuleType, teacher: Teacher, name: str, args: dict[str, Any], message: str
) -> None:
    with pytest.raises(StageError, match=message):
        cut(students, teacher, name, **args)


def test_what_is_no_model_that_can_be_cut_is_refused(students: ModuleType, teacher: Teacher, tmp_path: Path) -> None:
    with pytest.raises(StageError, match="needs config.json and"):
        students.built(f"pretrained:{tmp_path}", IMAGE, ("logits",))
    with pytest.raises(StageError, match="args.model: no teacher is known"):
        students.built("teacher", IMAGE, ("logits",))
    with pytest.raises(StageError, match="init: random is for"):
        students.built("cnn", IMAGE, ("logits",), init="random")
    folder = teacher("vit")[1]
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 5}))
    with pytest.raises(StageError, match="has no weights vit.layers.4"):
        students.built(f"pretrained:{tmp_path}", IMAGE, ("logits",))
    (tmp_path / "config.json").write_text(json.dumps({**config, "image_size": 16}))
    with pytest.raises(
        StageError, match="image_size is 8, and the model that is cut was made for 16; set input.size: 16"
    ):
        students.built(f"pretrained:{tmp_path}", IMAGE, ("logits",))
