"""Labels that are fields of the samples: read once, beside class numbers or instead of them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from teachercache.data import DataError
from teachercache.stages.errors import StageError
from teachercache.stages.student.inputs.labels import LabelShape, read_labels
from teachercache.stages.student.spec import TrainSpec
from teachercache.stages.student.stream.join import Join
from teachercache.stages.student.stream.stream import Stream

SCORED = [i for shard, count in enumerate((5, 1, 4)) for i in range(10 * shard, 10 * shard + count)]


def stream(join: Join, fields: tuple[str, ...], **train: Any) -> Stream:
    settings = TrainSpec.model_validate({"steps": 4, "batch_size": 10, **train})
    return Stream(join.cache, join, settings, ("logits",), torch.device("cpu"), False, {}, fields)


def test_classes_and_numbers_are_read_with_their_types(joined: Callable[..., Join]) -> None:
    join = joined()
    cell, score = read_labels(join, "cell"), read_labels(join, "score")
    assert cell.values.tolist() == [number % 4 for number in SCORED] and cell.present.all()
    assert cell.shape == LabelShape((), "int64", 0, 3)
    assert score.present.tolist() == [number % 4 != 3 for number in SCORED]
    assert score.values.dtype == np.float32 and score.shape.dtype == "float32"
    assert read_labels(join, "parts.ids").values.shape == (10, 4)


def test_null_is_no_label_and_one_fraction_makes_all_numbers(joined: Callable[..., Join]) -> None:
    values = {0: b"null", 1: b"3.5"}
    label = read_labels(joined(lambda number, sample: {**sample, "cell": values.get(number, b"2")}), "cell")
    assert label.values.dtype == np.float32
    assert label.present.tolist() == [False, *[True] * 9] and label.values[:3].tolist() == [0, 3.5, 2]


@pytest.mark.parametrize(
    ("field", "change", "message"),
    [
        ("cel", {}, "label: the source has no field 'cel', did you mean 'cell'"),
        ("image", {}, "field image is of kind image, and a label is of kind array or json"),
        ("caption", {}, "sample '0-0' of shard train-0: field 'caption' holds <U"),
        ("sequence", {}, r"sample '0-\d': field 'sequence' is \(\d, 2\), and that of the samples before it \(\d, 2\)"),
        ("cell", {"cell": b"1e99"}, "sample '0-2' of shard train-0: field 'cell' is no finite float32"),
        ("cell", {"cell": b'"two"'}, "sample '0-2' of shard train-0: field 'cell' holds <U3"),
    ],
)
def test_what_is_no_label_is_refused(
    joined: Callable[..., Join], field: str, change: dict[str, bytes], message: str
) -> None:
    join = joined(lambda number, sample: {**sample, **change} if number == 2 else sample)
    with pytest.raises((StageError, DataError), match=message):
        read_labels(join, field)


def test_a_batch_holds_the_fields_of_its_rows(joined: Callable[..., Join]) -> None:
    found = list(stream(joined(), ("cell",)).batches(0, 3))
    for batch in found:
        assert batch.views is None
        assert batch.fields["cell"].tolist() == [SCORED[row // 3] % 4 for row in batch.rows]


def test_a_sample_without_the_field_is_named_unless_it_is_unlabelled(joined: Callable[..., Join]) -> None:
    join = joined()
    with pytest.raises(StageError, match="sample '0-3' has no field 'score', and a term has it as its label"):
        stream(join, ("score",))
    few = {"count": 4, "per_batch": 3, "fields": ["score", "cell"]}
    for batch in stream(join, ("score", "cell"), labelled=few).batches(0, 4):
        samples = [SCORED[row // 3] for row in batch.rows]
        assert all(number % 4 != 3 for number in samples[:3])
        assert batch.fields["score"][:3].ne(0).all() and not batch.fields["score"][3:].any()
        assert not batch.fields["cell"][3:].any()
    with pytest.raises(StageError, match="train.labelled.count is 9, and only 8 samples have score"):
        stream(join, ("score",), labelled={**few, "count": 9})
    with pytest.raises(StageError, match="name under train.labelled.fields each field that a labelled sample must"):
        stream(join, ("score",), labelled={"count": 10, "per_batch": 3})


def test_a_field_that_is_not_optional_must_be_in_every_sample(joined: Callable[..., Join]) -> None:
    fields = {"score": {"kind": "json", "ext": ["score"]}}
    with pytest.raises(DataError, match=r"has no score: .* or set source.fields.score.optional"):
        joined(fields=fields)
