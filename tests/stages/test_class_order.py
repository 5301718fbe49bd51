"""Class names: labels and logits that do not count the same classes are refused, as far as names can tell."""

import pytest

from teachercache.cache.spec import SignalSpec
from teachercache.stages.class_order import check_kept, check_sources, check_teacher
from teachercache.stages.errors import StageError

TEACHER = ("T-shirt/top", "Trouser", "Ankle boot")
LOGITS = {"logits": SignalSpec()}


@pytest.mark.parametrize(
    "source",
    [
        (),
        TEACHER,
        ("t-shirt / top", "trouser", "ankleboot"),
        ("Katze", "Hund", "Maus"),
        ("0", "1", "2"),
        ("3", "1", "2"),
    ],
)
def test_classes_in_order_or_without_known_names_pass(source: tuple[str, ...]) -> None:
    check_teacher(source, TEACHER, LOGITS)
    check_kept(source, TEACHER)


def test_the_teachers_names_in_another_order_are_refused_with_the_order_to_write() -> None:
    source = ("ankle boot", "t-shirt/top", "trouser")
    said = "class 0 is 'ankle boot' in the source and 'T-shirt/top' for the teacher"
    with pytest.raises(StageError, match=said) as caught:
        check_teacher(source, TEACHER, LOGITS)
    assert "set source.classes: ['t-shirt/top', 'trouser', 'ankle boot']" in str(caught.value)
    with pytest.raises(StageError, match=r"evaluate\.source\.classes: class 0 .* for the cache"):
        check_kept(source, TEACHER, "evaluate.source")


def test_one_name_that_differs_does_not_hide_another_order() -> None:
    with pytest.raises(StageError, match="class 0 is 'Ankle boot'"):
        check_teacher(("Ankle boot", "shirt", "Trouser"), TEACHER, LOGITS)


@pytest.mark.parametrize("teacher", [("LABEL_0", "LABEL_1"), ("a", "b"), ("0", "1")])
def test_another_number_of_classes_is_refused_where_logits_are_kept(teacher: tuple[str, ...]) -> None:
    with pytest.raises(StageError, match="names 3 classes and the teacher has 2 logits"):
        check_teacher(("x", "y", "z"), teacher, LOGITS)
    with pytest.raises(StageError, match="names 3 classes"):
        check_teacher(("x", "y", "z"), teacher, {"soft": SignalSpec(point="logits")})
    check_teacher(("x", "y", "z"), teacher, {"embedding": SignalSpec()})
    check_teacher((), teacher, LOGITS)


def test_numbers_of_labels_are_no_names() -> None:
    check_teacher(("b", "a"), ("LABEL_0", "LABEL_1"), LOGITS)
    check_teacher(("1", "2"), ("0", "1"), LOGITS)


def test_sources_that_number_classes_differently_are_refused() -> None:
    check_sources(("a", "b"), ("A", "b "))
    check_sources(("a", "b"), ())
    check_sources((), ("a", "b"))
    with pytest.raises(StageError, match="class 1 is 'b' in source and 'c' in evaluate.source.*: \\['a', 'b', 'c'\\]"):
        check_sources(("a", "b", "c"), ("a", "c"))
    with pytest.raises(StageError, match="class 2 is 'c' in source and none in evaluate.source"):
        check_sources(("a", "b", "c"), ("a", "b"))
