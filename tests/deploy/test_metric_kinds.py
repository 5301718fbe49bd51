"""Every kind of metric against torchmetrics, or against plain loops where it has none."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from torchmetrics.functional.classification import binary_auroc, multiclass_auroc, multilabel_auroc
from torchmetrics.functional.regression import mean_absolute_error, mean_squared_error
from torchmetrics.functional.retrieval import retrieval_hit_rate

from teachercache.stages.deploy.evaluation.held_out import HeldOutBatch
from teachercache.stages.deploy.evaluation.spec import EvaluateSpec
from teachercache.stages.deploy.metrics import zero_shot
from teachercache.stages.deploy.metrics.kinds import Context, columns_of, join_columns, measured_of, said_in_numbers
from teachercache.stages.deploy.metrics.measured import Measured
from teachercache.stages.deploy.metrics.metric_spec import MetricSpec
from teachercache.stages.errors import StageError

ROWS = 40


def spec(metric: str, **settings: Any) -> MetricSpec:
    found: MetricSpec = TypeAdapter(MetricSpec).validate_python({"metric": metric, **settings})
    return found


def batch(labels: Any = None, **fields: Any) -> HeldOutBatch:
    rows = len(labels) if labels is not None else len(next(iter(fields.values())))
    numbers = torch.full((rows,), -1) if labels is None else torch.as_tensor(labels)
    ids = np.array([f"s{i}" for i in range(rows)])
    return HeldOutBatch(np.arange(rows), ids, numbers, {}, {name: np.asarray(it) for name, it in fields.items()})


def measure(one: MetricSpec, said: Mapping[str, torch.Tensor], whole: HeldOutBatch) -> Measured:
    """The figures of two batches put together."""
    half = len(whole.rows) // 2
    pieces = [
        columns_of(
            one,
            {name: values[part] for name, values in said.items()},
            HeldOutBatch(
                whole.rows[part],
                whole.ids[part],
                whole.labels[part],
                {},
                {name: values[part] for name, values in whole.fields.items()},
            ),
        )
        for part in (slice(0, half), slice(half, None))
    ]
    return measured_of(one, join_columns(pieces), Context((), {}))


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_regression_equals_torchmetrics_and_leaves_out_what_has_no_target() -> None:
    output, target = normal(ROWS, 3), normal(ROWS, 3, seed=1)
    holed = target.double().numpy().copy()
    holed[5, 1] = np.nan
    found = measure(spec("regression", output="y", label="place"), {"y": output}, batch(place=holed))
    keep = [i for i in range(ROWS) if i != 5]
    assert found.values["mae"] == pytest.approx(float(mean_absolute_error(output[keep], target[keep])), abs=1e-6)
    rmse = mean_squared_error(output[keep].flatten(), target[keep].flatten(), squared=False)
    assert found.values["rmse"] == pytest.approx(float(rmse), abs=1e-6) and found.samples == ROWS - 1


def test_regression_of_other_shapes_is_refused() -> None:
    with pytest.raises(StageError, match="output 'y' has 2 numbers a sample, and field 'place' has 3"):
        measure(spec("regression", output="y", label="place"), {"y": normal(4, 2)}, batch(place=np.zeros((4, 3))))


@pytest.mark.parametrize("classes", [1, 2, 5])
def test_auc_equals_torchmetrics(classes: int) -> None:
    logits = normal(ROWS, classes)
    labels = torch.arange(ROWS) % max(2, classes)
    found = measure(spec("auc"), {"logits": logits}, batch(labels)).values["auc"]
    if classes == 5:
        wanted = multiclass_auroc(logits.softmax(-1), labels, 5)
    else:
        wanted = binary_auroc(logits.softmax(-1)[:, 1] if classes == 2 else logits[:, 0].sigmoid(), labels)
    assert found == pytest.approx(float(wanted), abs=1e-6)


def test_auc_of_several_labels_is_the_mean_of_theirs() -> None:
    logits, labels = normal(ROWS, 3), (normal(ROWS, 3, seed=2) > 0).double()
    found = measure(spec("auc", label="tags"), {"logits": logits}, batch(tags=labels.numpy()))
    assert found.values["auc"] == pytest.approx(float(multilabel_auroc(logits.sigmoid(), labels.long(), 3)), abs=1e-6)


def test_auc_without_samples_of_some_class_is_not_known() -> None:
    assert measure(spec("auc"), {"logits": normal(6, 3)}, batch([0, 1, 0, 1, 0, 1])).values["auc"] is None


def test_recall_equals_the_hit_rate_of_torchmetrics_query_by_query() -> None:
    image, text = normal(ROWS, 6), normal(ROWS, 6, seed=1) + normal(ROWS, 6)
    said = {"image_embeds": image, "text_embeds": text}
    found = measure(spec("retrieval", k=[1, 5]), said, batch(np.zeros(ROWS, int))).values
    unit = [torch.nn.functional.normalize(one, dim=-1) for one in (image, text)]
    for way, (queries, candidates) in {"image_to_text": unit, "text_to_image": unit[::-1]}.items():
        for k in (1, 5):
            hits = [
                retrieval_hit_rate(row, torch.arange(ROWS) == place, top_k=k)
                for place, row in enumerate(queries @ candidates.T)
            ]
            assert found[f"{way}_r{k}"] == pytest.approx(float(torch.stack(hits).mean()), abs=1e-6)
    assert found["r5"] == pytest.approx((found["image_to_text_r5"] + found["text_to_image_r5"]) / 2)  # type: ignore[operator]


def test_an_image_that_stands_there_once_for_each_caption_takes_one_place() -> None:
    """Each image twice, with two captions: as if it were there once, and either caption counts."""
    image, text = normal(8, 5).repeat_interleave(2, 0), normal(16, 5, seed=3) + normal(8, 5).repeat_interleave(2, 0)
    group = np.repeat([f"image {i}" for i in range(8)], 2)
    found = measure(spec("retrieval", group="of", k=[2]), {"image_embeds": image, "text_embeds": text}, batch(of=group))
    unit = [torch.nn.functional.normalize(one, dim=-1) for one in (image[::2], text)]
    ranks = [int((row > row[i // 2]).sum()) for i, row in enumerate(unit[1] @ unit[0].T)]  # of 8 images
    assert found.values["text_to_image_r2"] == pytest.approx(np.mean([rank < 2 for rank in ranks]))
    best = (unit[0] @ unit[1].T).reshape(8, 8, 2).amax(dim=2)  # of an image and the nearer caption of each
    ranks = [int((row > row[i]).sum()) for i, row in enumerate(best)]
    assert found.values["image_to_text_r2"] == pytest.approx(np.mean([rank < 2 for rank in ranks]))


def test_a_model_that_says_the_same_of_everything_is_at_chance() -> None:
    same = {"image_embeds": torch.ones(ROWS, 4), "text_embeds": torch.ones(ROWS, 4)}
    found = measure(spec("retrieval", k=[1, 5]), same, batch(np.zeros(ROWS, int))).values
    assert (found["r1"], found["r5"]) == (pytest.approx(1 / ROWS), pytest.approx(5 / ROWS))


def test_zero_shot_is_the_nearest_mean_of_a_classs_texts() -> None:
    labels = np.arange(ROWS) % 4
    image, text = normal(ROWS, 6), normal(ROWS, 6, seed=1)
    found = measure(spec("zero-shot"), {"image_embeds": image, "text_embeds": text}, batch(labels)).values
    unit = torch.nn.functional.normalize(text, dim=-1)
    means = torch.stack([torch.nn.functional.normalize(unit[labels == c].sum(0), dim=0) for c in range(4)])
    right = (torch.nn.functional.normalize(image, dim=-1) @ means.T).argmax(-1).numpy() == labels
    assert found["zero_shot"] == pytest.approx(right.mean())
    assert found["zero_shot_top5"] == 1.0  # of four classes


def test_zero_shot_by_prompts_counts_images_whose_class_has_one() -> None:
    one = spec("zero-shot", prompts="names")
    text = torch.eye(3)
    prompts = zero_shot.prompt_columns(one, {"text_embeds": text}, batch([4, 7, 9]))  # type: ignore[arg-type]
    image = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]])
    columns = columns_of(one, {"image_embeds": image}, batch([4, 7, 4, 5]))
    found = measured_of(one, columns, Context((), {"names": prompts}))
    assert (found.values["zero_shot"], found.samples) == (pytest.approx(2 / 3), 3)


def test_all_right_needs_every_part_that_applies() -> None:
    one = spec(
        "all-right",
        parts={"cell": {"output": "cell"}, "offset": {"output": "offset", "label": "click", "tolerance": 0.25}},
        by="meta.kind",
    )
    cell = torch.eye(4)[[0, 1, 2, 3, 3]]  # says 0, 1, 2, 3, 3
    offset = torch.tensor([[0.0, 0.0], [0.2, -0.2], [0.3, 0.0], [0.0, 0.0], [9.0, 9.0]])
    click = np.array([[0.0, 0.25], [0.0, 0.0], [0.0, 0.0], [np.nan, np.nan], [np.nan, np.nan]])
    whole = batch([0, 1, 2, 3, -1], click=click, **{"meta.kind": np.array(["one", "two", "two", "one", "none"])})
    found = measure(one, {"cell": cell, "offset": offset}, whole)
    assert found.samples == 4  # the last one has no target at all
    assert found.values == {"right": 3 / 4, "cell_right": 1.0, "offset_right": 2 / 3}
    assert found.details["breakdown"]["rows"] == [
        {"value": "one", "samples": 2, "share": 1.0},
        {"value": "two", "samples": 2, "share": 0.5},
    ]
    whole = batch([0, 1, 2, 3, -1], click=click, **{"meta.kind": np.array([1.0, 2.0, 2.0, 1.0, 0.0])})
    rows = measure(one, {"cell": cell, "offset": offset}, whole).details["breakdown"]["rows"]
    assert [row["value"] for row in rows] == ["1", "2"]  # as the field says it, not 1.0


def test_classification_by_a_field_without_a_teacher_has_no_agreement() -> None:
    one = spec("classification", output="answer", signal=None, label="word", name="answer")
    found = measure(one, {"answer": torch.eye(3)[[0, 1, 1, 2]]}, batch(word=np.array([0.0, 1.0, 2.0, np.nan])))
    assert found.values["answer.top1"] == pytest.approx(2 / 3) and found.samples == 3
    assert set(found.values) == {"answer.top1", "answer.nll", "answer.ece", "answer.top5"}


def test_a_set_without_any_target_has_no_figures() -> None:
    nothing = batch([-1, -1], t=np.array([np.nan, np.nan]))
    said = {"logits": torch.eye(2), "y": torch.ones(2)}
    for one in (spec("classification", signal=None), spec("auc"), spec("regression", output="y", label="t")):
        assert set(measure(one, said, nothing).values.values()) == {None}


def test_what_is_no_number_is_noticed_in_outputs_and_not_in_targets() -> None:
    target = np.array([1.0, np.nan])
    fine = columns_of(spec("regression", output="y", label="t"), {"y": torch.ones(2)}, batch(t=target))
    nan = {"image_embeds": torch.full((2, 2), torch.nan), "text_embeds": torch.ones(2, 2)}
    broken = columns_of(spec("retrieval"), nan, batch([0, 1]))
    assert said_in_numbers(fine) and not said_in_numbers(broken)


SOURCE = {"path": "a.tar"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "give either source"),
        ({"source": SOURCE, "sets": {"seen": SOURCE}}, "give either source"),
        ({"source": SOURCE, "primary": "top2"}, "no metric has a figure 'top2'; there are top1, agreement"),
        (
            {"source": SOURCE, "metrics": [{"metric": "auc"}, {"metric": "auc", "label": "x"}]},
            "have a figure auc; give",
        ),
        ({"source": SOURCE, "metrics": [{"metric": "auc", "signal": None}]}, "the teacher cannot be judged"),
        ({"source": SOURCE, "metrics": [{"metric": "zero-shot", "prompts": "x"}]}, "no set 'x' under evaluate.prompts"),
        ({"source": SOURCE, "prompts": {"x": SOURCE}}, "prompts.x: no metric reads it"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EvaluateSpec.model_validate(settings)
