"""Which form of attention is smaller is counted, said, and true at the break-even."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from teachercache.cache import SignalSchema
from teachercache.cache.codecs import Packing
from teachercache.stages.teacher.job import CacheJob
from teachercache.stages.teacher.runner import build_cache
from teachercache.stages.teacher.signals.attention_size import attention_notes, form_bytes

CONFIG = SimpleNamespace(hidden_size=768, num_attention_heads=12)  # heads of width 64


def maps(tokens: int, **changes: Any) -> SignalSchema:
    return SignalSchema("attention.3", "u8sqrt", {}, (12, tokens, tokens), "attention.3", **changes)


@pytest.mark.parametrize(
    ("schema", "config", "even"),
    [
        (maps, CONFIG, {"f16": 256, "int8": 136}),  # 4 d and 2 (d + 4)
        (
            lambda t: maps(t, packing=Packing((1, 2), causal=True, implied=True)),
            CONFIG,
            {"f16": 513, "int8": 273},  # twice that: t - 1 takes the place of 2 t
        ),
        (maps, SimpleNamespace(num_key_value_heads=3, **vars(CONFIG)), {"f16": 160, "int8": 85}),
    ],
    ids=["plain", "causal", "grouped"],
)
def test_the_break_even_is_where_the_documentation_says(
    schema: Callable[[int], SignalSchema], config: Any, even: dict[str, int]
) -> None:
    for keep, tokens in even.items():
        at, above = (form_bytes(schema(t), config) for t in (tokens, tokens + 2))
        assert at["u8sqrt"] <= at[f"factored in {keep}"] + 8 and above[f"factored in {keep}"] < above["u8sqrt"]


def test_equal_layers_share_a_line_that_names_the_smaller_form() -> None:
    one, other = maps(50), SignalSchema("attention.4", "u8sqrt", {}, (12, 50, 50), "attention.4")
    (note,) = attention_notes([one, other], CONFIG)
    assert note == (
        "attention.3, attention.4: bytes a row: u8sqrt 30,000, factored in f16 153,600, factored in int8 81,600; "
        "the smallest is what is kept"
    )
    (note,) = attention_notes([maps(197)], CONFIG)
    assert note.endswith("factored in int8 is smaller than u8sqrt, which is kept")


def test_nothing_is_said_of_reduced_maps_and_of_heads_that_are_not_known() -> None:
    assert attention_notes([maps(50)], SimpleNamespace()) == ()
    mean = SignalSchema("a", "u8sqrt", {}, (50, 50), "attention.1", "head-mean")
    assert attention_notes([mean, SignalSchema("l", "f16", {}, (9,), "logits")], CONFIG) == ()


def test_a_build_says_it_once(make_job: Callable[..., CacheJob]) -> None:
    job = make_job(signals={"attention.1": {"codec": "factored"}})
    (note,) = build_cache(job).notes  # 5 tokens, 3 heads of width 8
    assert note.startswith("attention.1: bytes a row: u8sqrt 75, factored in f16 480, factored in int8 360; u8sqrt is ")
    assert build_cache(job).notes == ()
