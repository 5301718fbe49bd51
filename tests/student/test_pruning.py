"""Students that are pruned while they train: what goes, what stays, and that it can be loaded and continued."""

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from teachercache.stages.errors import Interrupted, StageError
from teachercache.stages.student.files.saved import load_student, read_student
from teachercache.stages.student.fleet import train_fleet
from teachercache.stages.student.inputs.shape import blank_inputs
from teachercache.stages.student.models.builders import build_student
from teachercache.stages.student.pruning.course import kept_of, prune_steps
from teachercache.stages.student.pruning.importance import TaylorScores
from teachercache.stages.student.pruning.pruning import Pruning, build_pruning
from teachercache.stages.student.pruning.spec import PruneSpec
from teachercache.stages.student.spec import StudentSpec
from teachercache.stages.student.trial.trial import plan_trials

CPU = torch.device("cpu")
HALF = {"to": 0.5, "steps": 2, "start": 0.25, "end": 0.5}
CHANNELS = pytest.mark.skipif(
    not __import__("importlib.util").util.find_spec("torch_pruning"), reason="needs torch-pruning (the extra `prune`)"
)
Train = Callable[..., Any]


@pytest.fixture
def train(memory: ModuleType, tmp_path: Path) -> Train:
    """train(folder, stop=..., controls=..., **student): a fleet of one student on the in-memory stream."""

    def run(folder: str, controls: tuple[str, ...] = (), **changes: Any) -> Any:
        options = {"stop": changes.pop("stop")} if "stop" in changes else {}
        spec = memory.make_train(steps=16, controls=controls)
        trials = plan_trials([memory.make_student(**{"prune": HALF, **changes})], spec)
        stream = memory.MemoryStream(spec)
        return train_fleet(trials, stream, memory.SHAPE, tmp_path / folder, spec, CPU, **options)

    return run


def pruning_of(student: nn.Module, spec: StudentSpec, shape: Any, *outputs: str) -> Pruning:
    found = build_pruning(student, spec, shape, frozenset(outputs or ("logits",)), 16, 0)
    assert found is not None
    return found


def vision(students: ModuleType, use: str, args: dict[str, Any], what: Any = None, **more: Any) -> tuple[Any, Any, Any]:
    """(student, its settings, shape) of a model of transformers that is pruned to half by size of weights."""
    prune = {**HALF, "importance": "l2", "what": what}
    spec = students.settings(use, more.pop("takes", ("pixel_values",)), args, prune=prune, **more)
    shape = students.given(tuple(spec.takes))
    return build_student(spec, shape, ["logits"], 0), spec, shape


VIT = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 12, "patch_size": 4}


def test_what_stays_falls_evenly_and_is_rounded_up_to_a_multiple() -> None:
    spec = PruneSpec(to=0.25, steps=3, start=0.2, end=0.6)
    assert [kept_of(16, spec, number) for number in (1, 2, 3)] == [12, 8, 4]
    assert [kept_of(10, spec.model_copy(update={"multiple": 4}), number) for number in (1, 2, 3)] == [8, 8, 4]
    assert kept_of(2, spec.model_copy(update={"multiple": 4}), 3) == 2
    assert prune_steps(spec, 100, "x") == (20, 40, 60)


@CHANNELS
def test_half_the_channels_go_but_for_those_that_an_output_shows(train: Train) -> None:
    [result] = train("runs", args={"widths": [8, 12]})
    assert result.status == "finished", result.reason
    weights = load_file(result.folder / "student.safetensors")
    assert weights["features.0.weight"].shape == (4, 1, 3, 3)
    assert weights["features.3.weight"].shape == (12, 4, 3, 3)  # the embedding has its width, and a term reads it
    student = load_student(result.folder)
    assert student(torch_images())["logits"].shape == (2, 5)
    assert student.features[0].out_channels == 4 and student.features[1].num_features == 4
    assert set(read_student(result.folder).pruned) == {"features.0.weight", "features.3.weight"} | {
        f"features.1.{name}" for name in ("weight", "bias", "running_mean", "running_var")
    }


def torch_images() -> dict[str, torch.Tensor]:
    return {"pixel_values": torch.zeros(2, 1, 12, 12)}


@CHANNELS
@pytest.mark.parametrize("importance", ["taylor", "random"])
def test_a_pruned_student_that_was_interrupted_anywhere_ends_as_if_it_were_not(
    train: Train, memory: ModuleType, importance: str
) -> None:
    more = {"prune": {**HALF, "importance": importance}, "optimizer": {"ema": 0.9}}
    [whole] = train("whole", **more)
    for batches in (3, 1, 1, 3, 1):  # at steps 3, 4, 5, 8, 9; pruned before steps 4 and 8
        seen = iter(range(batches - 1))
        with pytest.raises(Interrupted):
            train("broken", **more, stop=partial(lambda seen: next(seen, None) is None, seen))
    [result] = train("broken", **more)
    assert result.status == "finished", result.reason
    found, wanted = ((one.folder / "student.safetensors").read_bytes() for one in (result, whole))
    assert found == wanted
    assert read_student(result.folder).pruned == read_student(whole.folder).pruned


@CHANNELS
def test_the_controls_are_pruned_as_much(train: Train) -> None:
    results = train("runs", controls=("labels-only", "shuffled-cache"))
    shapes = [{k: v.shape for k, v in load_file(r.folder / "student.safetensors").items()} for r in results]
    assert len(results) == 3 and shapes[0] == shapes[1] == shapes[2]
    assert shapes[0]["features.0.weight"][0] == 2


@CHANNELS
@pytest.mark.parametrize("args", [{"widths": [8, 16]}, {"widths": [8, 16], "separable": True, "exits": [1]}])
def test_channels_that_say_nothing_go_and_every_answer_stays(memory: ModuleType, args: dict[str, Any]) -> None:
    spec = memory.make_student(args=args, prune={**HALF, "importance": "l2"}, objective=[{"loss": "cross_entropy"}])
    student = build_student(spec, memory.SHAPE, ["logits"], 0).eval()
    convolutions = [m for m in student.modules() if isinstance(m, nn.Conv2d)]
    norms = [m for m in student.modules() if isinstance(m, nn.BatchNorm2d)]
    for convolution, norm in zip(convolutions, norms, strict=True):  # of every layer the odd channels
        norm.running_mean.uniform_(-1, 1)
        for values in (convolution.weight, norm.weight, norm.bias):
            values.data[1::2] = 0
        if convolution.groups == 1 and convolution is not convolutions[0]:
            convolution.weight.data[:, 1::2] = 0
    student.classifier.weight.data[:, 1::2] = 0
    for head in getattr(student, "exits", {}).values():
        head.weight.data[:, 1::2] = 0
    images = {"pixel_values": torch.randn(3, 1, 12, 12)}
    expected = student(images)
    outputs = ["logits", *(f"exit.{number}" for number in args.get("exits", ()))]
    smaller, _ = pruning_of(student, spec, memory.SHAPE, *outputs).prune(student, 8)
    assert sum(p.numel() for p in smaller.parameters()) < 0.6 * sum(p.numel() for p in student.parameters())
    for name in outputs:
        torch.testing.assert_close(smaller(images)[name], expected[name])


@CHANNELS
def test_a_finished_student_is_pruned_further_and_needs_its_beginning_no_more(train: Train, tmp_path: Path) -> None:
    [first] = train("first", args={"widths": [8, 12]})
    use = {"use": f"trained:{first.folder}", "args": {}}
    [again] = train("again", **use, prune=None, optimizer={"lr": 1e-12, "weight_decay": 0})
    [second] = train("second", **use)
    expected = load_student(first.folder)(torch_images())["embedding"]
    first.folder.rename(tmp_path / "gone")
    assert read_student(second.folder).student.use == "cnn"
    assert load_file(second.folder / "student.safetensors")["features.0.weight"].shape[0] == 2
    assert load_student(second.folder)(torch_images())["logits"].shape == (2, 5)
    assert load_student(again.folder)(torch_images())["embedding"].shape == expected.shape
    weights = [
        load_file(folder / "student.safetensors")["features.3.weight"] for folder in (again.folder, tmp_path / "gone")
    ]
    torch.testing.assert_close(*weights)


def test_a_folder_without_a_finished_student_and_other_inputs_are_refused(train: Train, tmp_path: Path) -> None:
    with pytest.raises(StageError, match="holds no finished student; name the folder of a trial"):
        train("runs", use=f"trained:{tmp_path}", args={}, prune=None)
    [first] = train("first", prune=None)
    with pytest.raises(StageError, match="args: the student in .* is what it is"):
        train("runs", use=f"trained:{first.folder}", prune=None)
    with pytest.raises(StageError, match=r"inputs\.pixel_values: the student in .* was trained on"):
        train("other", use=f"trained:{first.folder}", args={}, prune=None, input={"size": 8})


@CHANNELS
def test_group_norms_keep_channels_of_every_group(students: ModuleType) -> None:
    spec = students.settings("slices", ("volume",), {"widths": [8, 16]}, prune={**HALF, "importance": "l2"})
    student = build_student(spec, students.given(("volume",)), ["logits"], 0)
    smaller, _ = pruning_of(student, spec, students.given(("volume",))).prune(student, 4)
    norms = [module for module in smaller.modules() if isinstance(module, nn.GroupNorm)]
    assert [(norm.num_groups, norm.num_channels) for norm in norms] == [(8, 8), (8, 16)]  # of 8 and 16, no less of 8


@CHANNELS
def test_taylor_keeps_what_the_loss_hangs_on_and_l2_what_is_large(memory: ModuleType) -> None:
    base = {"args": {"widths": [4]}, "objective": [{"loss": "cross_entropy"}]}
    spec = memory.make_student(**base, prune={**HALF, "to": 0.5, "steps": 1})
    student = build_student(spec, memory.SHAPE, ["logits"], 0)
    pruning = pruning_of(student, spec, memory.SHAPE)
    student.features[0].weight.data[:2] *= 100  # large, and nobody reads them
    student.classifier.weight.data[:, :2] = 0
    taylor = TaylorScores(student)
    loss = student({"pixel_values": torch.randn(8, 1, 12, 12)})["logits"].square().sum()
    loss.backward()
    taylor.note(student, torch.tensor(1.0))
    by_loss, _ = pruning.prune(student, 4, taylor.values)
    by_size, _ = pruning.prune(student, 4)
    torch.testing.assert_close(by_loss.features[0].weight, student.features[0].weight[2:])
    torch.testing.assert_close(by_size.features[0].weight, student.features[0].weight[:2])


def test_gradients_that_are_no_numbers_change_no_score(memory: ModuleType) -> None:
    student = nn.Linear(2, 1)
    student.weight.grad = torch.full((1, 2), torch.nan)
    taylor = TaylorScores(student)
    taylor.note(student, torch.tensor(torch.nan))
    assert not taylor.values["weight"].any()


@pytest.mark.parametrize(
    ("use", "args", "takes", "task"),
    [
        ("transformers:ViTConfig", VIT, ("pixel_values",), None),
        (
            "transformers:LlamaConfig",
            {**{k: v for k, v in VIT.items() if k != "patch_size"}, "num_key_value_heads": 2, "head_dim": 4},
            ("input_ids",),
            "text-classification",
        ),
    ],
)
def test_heads_and_units_that_say_nothing_go_and_from_pretrained_loads_the_rest(
    students: ModuleType, tmp_path: Path, use: str, args: dict[str, Any], takes: tuple[str, ...], task: str | None
) -> None:
    student, spec, shape = vision(students, use, args, takes=takes, task=task)
    student.eval()
    for name, values in student.model.state_dict().items():
        if name.endswith(("o_proj.weight", "fc2.weight", "down_proj.weight")):
            values[:, values.shape[1] // 2 :] = 0  # the second half of the heads, and of the units
        elif name.endswith((*(f"{x}_proj.weight" for x in ("q", "k", "v", "gate", "up")), "fc1.weight")):
            values[len(values) // 2 :] *= 0.01
    inputs = students.batch(takes)
    smaller, _ = pruning_of(student, spec, shape).prune(student, 8)
    config = smaller.model.config
    assert (config.num_attention_heads, config.head_dim, config.intermediate_size) == (2, 4, 6)
    expected = student(inputs)["logits"]
    torch.testing.assert_close(smaller.eval()(inputs)["logits"], expected)
    smaller.model.save_pretrained(tmp_path)
    again = type(smaller.model).from_pretrained(tmp_path)
    torch.testing.assert_close(again(**inputs).logits, expected)


def test_a_pruned_model_of_transformers_trains_saves_and_loads(train: Train, tmp_path: Path) -> None:
    terms = [{"loss": "kl", "signal": "logits"}]
    more = {"use": "transformers:ViTConfig", "args": VIT, "objective": terms}
    [whole] = train("whole", **more)
    seen = iter(range(5))
    with pytest.raises(Interrupted):
        train("broken", **more, stop=lambda: next(seen, None) is None)
    [result] = train("broken", **more)
    assert result.status == "finished", result.reason
    assert (result.folder / "student.safetensors").read_bytes() == (whole.folder / "student.safetensors").read_bytes()
    student = load_student(result.folder)
    assert student.model.config.num_attention_heads == 2 and student.model.config.intermediate_size == 6
    hf = type(student.model).from_pretrained(result.folder / "hf").eval()
    images = torch_images()
    torch.testing.assert_close(hf(**images).logits, student(images)["logits"])


def test_a_clip_loses_units_of_both_towers_and_heads_of_it_and_of_bert_are_refused(students: ModuleType) -> None:
    tower = {k: v for k, v in VIT.items() if k != "patch_size"}
    args = {
        "projection_dim": 8,
        "vision_config": {**tower, "patch_size": 4},
        "text_config": {**tower, "eos_token_id": 1},
    }
    takes, prune = ("pixel_values", "input_ids"), {**HALF, "importance": "l2"}
    spec = students.settings("transformers:CLIPConfig", takes, args, output="image_embeds", prune=prune)
    shape = students.given(takes)
    student = build_student(spec, shape, ["image_embeds", "text_embeds"], 0)
    smaller, _ = pruning_of(student, spec, shape, "image_embeds", "text_embeds").prune(student, 8)
    config = smaller.model.config
    assert [part.intermediate_size for part in (config.vision_config, config.text_config)] == [6, 6]
    assert [part.num_attention_heads for part in (config.vision_config, config.text_config)] == [4, 4]
    with pytest.raises(StageError, match=r"students\.tiny\.prune\.what: .*CLIPModel cannot say fewer heads"):
        asked = spec.model_copy(update={"prune": PruneSpec(to=0.5, what=("heads",))})
        pruning_of(student, asked, shape, "image_embeds")
    bert = vision(students, "transformers:BertConfig", tower, takes=("input_ids",))
    with pytest.raises(StageError, match="BertForSequenceClassification cannot say fewer heads"):
        pruning_of(bert[0], bert[1].model_copy(update={"prune": PruneSpec(to=0.5, what=("heads", "mlp"))}), bert[2])


def test_an_output_that_shows_the_heads_keeps_them(students: ModuleType) -> None:
    prune = {**HALF, "importance": "l2"}
    spec = students.settings("transformers:ViTConfig", ("pixel_values",), VIT, output="attention.1", prune=prune)
    shape = students.given(("pixel_values",))
    student = build_student(spec, shape, ["attention.1", "logits"], 0)
    with pytest.raises(StageError, match=r"students\.tiny\.prune: output 'attention\.1' would become \(2, 5, 5\)"):
        pruning_of(student, spec, shape, "attention.1", "logits")
    units = spec.model_copy(update={"prune": PruneSpec(**prune, what=("mlp",))})
    assert pruning_of(student, units, shape, "attention.1", "logits").pruner.sizes == {("", "mlp"): 12}  # type: ignore[attr-defined]


@CHANNELS
def test_what_cannot_be_pruned_is_refused(students: ModuleType, memory: ModuleType) -> None:
    sequence = students.settings("lstm", ("sequence",), {"hidden": 8}, prune=HALF)
    shape = replace(students.given(("sequence",)))
    student = build_student(sequence, shape, ["logits"], 0)
    assert student({**blank_inputs(shape.inputs, 2)})["logits"].shape == (2, 5)
    with pytest.raises(StageError, match=r"students\.tiny\.prune: nothing of a .* can be pruned"):
        pruning_of(student, sequence, shape)
    spec = memory.make_student(prune={**HALF, "what": ["heads"]})
    with pytest.raises(StageError, match=r"students\.small\.prune\.what: of a cnn channels can go"):
        pruning_of(build_student(spec, memory.SHAPE, ["logits"], 0), spec, memory.SHAPE)
    tiny = memory.make_student(args={"widths": [2]}, objective=[{"loss": "cross_entropy"}], prune={**HALF, "to": 0.9})
    with pytest.raises(StageError, match=r"prune\.to: 0\.9 of every layer is all of it"):
        pruning_of(build_student(tiny, memory.SHAPE, ["logits"], 0), tiny, memory.SHAPE)


def test_steps_that_do_not_fit_are_refused() -> None:
    with pytest.raises(StageError, match=r"students\.x\.prune: 5 steps are too few to prune 4 times"):
        prune_steps(PruneSpec(to=0.5), 5, "students.x")
    with pytest.raises(ValueError, match="start comes before end"):
        PruneSpec(to=0.5, start=0.5, end=0.5)


def test_channels_without_the_extra_name_the_install_command(
    memory: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch_pruning", None)
    spec = memory.make_student(prune=HALF)
    with pytest.raises(StageError, match=r"pip install 'teachercache\[prune\]'"):
        pruning_of(build_student(spec, memory.SHAPE, ["logits"], 0), spec, memory.SHAPE)


@CHANNELS
def test_layers_that_never_trained_are_not_ranked_by_taylor(train: Train) -> None:
    phases = [{"name": "head", "share": 1.0, "objective": [{"loss": "cross_entropy"}], "trains": ["classifier.*"]}]
    with pytest.raises(Exception, match=r"all channels of features\.\d are worth nothing"):
        train("runs", objective=(), phases=phases)
