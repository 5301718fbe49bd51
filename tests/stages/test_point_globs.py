"""Globs in the names of signals mean exactly the points that they match."""

import pytest

from teachercache.cache.spec import SignalSpec
from teachercache.stages.errors import StageError
from teachercache.stages.point_globs import expand_globs

POINTS = [
    "logits",
    "hidden.0",
    "hidden.1",
    "hidden.10",
    "vision.hidden.0",
    "hidden.1.text",
    "attention.0",
    "attention.1",
]
INT8 = SignalSpec(codec="int8")


def test_star_stays_inside_one_part_and_every_point_gets_the_codec() -> None:
    assert expand_globs({"hidden.*": INT8}, lambda: POINTS, "it") == dict.fromkeys(
        ["hidden.0", "hidden.1", "hidden.10"], INT8
    )
    assert list(expand_globs({"*.hidden.?": INT8}, lambda: POINTS, "it")) == ["vision.hidden.0"]


def test_braces_say_alternatives_without_looking_at_the_teacher() -> None:
    def unasked() -> list[str]:
        raise AssertionError

    found = expand_globs({"logits": SignalSpec(), "attention.{0,-1}": INT8}, unasked, "it")
    assert found == {"logits": SignalSpec(), "attention.0": INT8, "attention.-1": INT8}
    assert list(expand_globs({"{vision.,}hidden.0": INT8}, unasked, "it")) == ["vision.hidden.0", "hidden.0"]


def test_signal_named_by_itself_keeps_its_settings() -> None:
    f32 = SignalSpec(codec="f32")
    found = expand_globs({"hidden.*": INT8, "hidden.1": f32}, lambda: POINTS, "it")
    assert found == {"hidden.0": INT8, "hidden.10": INT8, "hidden.1": f32}


@pytest.mark.parametrize(
    ("signals", "message"),
    [
        ({"hiden.*": INT8}, "no point of the teacher matches 'hiden.*'; the nearest are hidden.0"),
        ({"hidden.{0": INT8}, "a brace stands alone"),
        ({"hidden.*": SignalSpec(point="hidden.0")}, "a glob names its points itself"),
        ({"hidden.*": INT8, "hidden.{0,1}": SignalSpec()}, "another glob matches hidden.0 too"),
    ],
)
def test_glob_that_means_nothing_or_too_much_is_refused(signals: dict[str, SignalSpec], message: str) -> None:
    with pytest.raises(StageError) as error:
        expand_globs(signals, lambda: POINTS, "the teacher")
    assert message in str(error.value)
