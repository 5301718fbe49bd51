"""Modules are heard by their path, once a pass, on plain modules and on those of transformers."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from teachercache.cache import Ragged
from teachercache.stages.capture import listen
from teachercache.stages.capture.points import parse_point
from teachercache.stages.errors import StageError


class Twice(nn.Module):
    """Runs one layer twice, and one not at all."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.layer, self.never = nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.layer(self.layer(self.first(values)))  # type: ignore[no-any-return]


def test_what_a_module_returns_is_heard_and_nothing_stays() -> None:
    model, values = Twice(), torch.randn(2, 3)
    with listen(model, ["first", "logits"]) as ears:
        for _ in range(2):
            said = model(values)
            heard = ears.collect()
            torch.testing.assert_close(heard["first"], model.first(values))
            torch.testing.assert_close(heard["logits"], said)
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize(
    ("point", "message"),
    [
        ("layer", "module layer ran 2 times in one pass"),
        ("never", "module never ran 0 times in one pass"),
        ("frist", "no capture point 'frist', did you mean 'first'"),
        ("vision.hidden.0", "has no towers|no towers that are known here"),
        ("hidden.*", "no capture point 'hidden.\\*'"),
    ],
)
def test_a_module_that_cannot_be_heard_is_an_error(point: str, message: str) -> None:
    model = Twice()
    with pytest.raises(StageError, match=message), listen(model, [point]) as ears:
        model(torch.randn(2, 3))
        ears.collect()


def test_tokens_of_a_module_are_cut_to_the_real_ones(
    text_model: Callable[..., nn.Module], tokens: Callable[..., dict[str, torch.Tensor]]
) -> None:
    model = text_model("bert")
    path = "encoder.layer.1.output"
    with listen(model, [path, "hidden.2", "pooler"]) as ears, torch.no_grad():
        model(**tokens("right"))
        heard = ears.collect()
    assert isinstance(heard[path], Ragged) and heard[path].lengths.tolist() == [7, 3, 5]
    torch.testing.assert_close(heard[path].values, heard["hidden.2"].values)
    assert heard["pooler"].shape == (3, 32)


def test_names_of_towers_and_paths_are_told_apart() -> None:
    assert parse_point("vision.hidden.-1").part == "vision" and parse_point("text.qkv.3").index == 3
    assert parse_point("text_embeds").kind == "embeds"
    assert parse_point("layer3.1.conv2", paths=True).kind == "module"
    for name in ("layer3.1.conv2", "atention.1"):
        with pytest.raises(StageError, match="there is no capture point"):
            parse_point(name)
