"""What is heard equals what transformers itself returns, and listening leaves nothing behind."""

from collections.abc import Callable
from threading import Thread

import pytest
import torch
from torch import nn

from teachercache.stages.capture import describe_points, listen
from teachercache.stages.capture.attention import attention_modules
from teachercache.stages.errors import StageError

Make = Callable[..., nn.Module]
FAMILIES = ["ViTConfig", "DeiTConfig", "BeitConfig", "Dinov2Config"]


@pytest.mark.parametrize("family", FAMILIES)
def test_heard_attention_and_hidden_states_equal_eager(make: Make, images: torch.Tensor, family: str) -> None:
    eager = make(family, attention="eager")(pixel_values=images, output_attentions=True, output_hidden_states=True)
    model = make(family)
    points = [f"attention.{n}" for n in (0, 1, 2, -1)] + [f"hidden.{n}" for n in (0, 1, 3, -2)]
    with listen(model, ["logits", *points]) as heard, torch.no_grad():
        output = model(pixel_values=images)
        values = heard.collect()
    torch.testing.assert_close(values["logits"], eager.logits)
    torch.testing.assert_close(output.logits, eager.logits)
    for n in (0, 1, 2, -1):
        torch.testing.assert_close(values[f"attention.{n}"], eager.attentions[n])
        assert values[f"attention.{n}"].shape[:2] == (3, 4)
    for n in (0, 1, 3, -2):
        torch.testing.assert_close(values[f"hidden.{n}"], eager.hidden_states[n])


def test_relative_position_bias_is_part_of_the_heard_attention(make: Make, images: torch.Tensor) -> None:
    changes = {"use_relative_position_bias": True}
    eager = make("BeitConfig", attention="eager", **changes)
    model = make("BeitConfig", **changes)
    for one in (eager, model):
        torch.manual_seed(3)
        for name, parameter in one.named_parameters():
            if "relative_position_bias_table" in name:
                parameter.data.normal_()
    with listen(model, ["attention.1"]) as heard, torch.no_grad():
        model(pixel_values=images)
    expected = eager(pixel_values=images, output_attentions=True).attentions[1]
    torch.testing.assert_close(heard.collect()["attention.1"], expected)


@pytest.mark.parametrize("family", ["ViTConfig", "DeiTConfig", "resnet", "swin"])
def test_the_embedding_times_the_head_gives_the_logits(make: Make, images: torch.Tensor, family: str) -> None:
    model = make(family)
    with listen(model, ["embedding", "logits"]) as heard, torch.no_grad():
        model(pixel_values=images)
        values = heard.collect()
    assert values["embedding"].ndim == 2
    torch.testing.assert_close(model.classifier(values["embedding"]), values["logits"])


def test_resnet_hidden_states_equal_its_own(make: Make, images: torch.Tensor) -> None:
    model = make("resnet")
    expected = model(pixel_values=images, output_hidden_states=True).hidden_states
    with listen(model, ["hidden.0", "hidden.-1"]) as heard:
        model(pixel_values=images)
    values = heard.collect()
    torch.testing.assert_close(values["hidden.0"], expected[0])
    torch.testing.assert_close(values["hidden.-1"], expected[-1])


@pytest.mark.parametrize("family", ["resnet"])
def test_attention_that_is_not_per_sample_is_an_error(make: Make, family: str) -> None:
    with pytest.raises(StageError, match="has no attention that can be heard"), listen(make(family), ["attention.0"]):
        pass


def test_two_heads_are_named_and_not_chosen_from(make: Make) -> None:
    with (
        pytest.raises(StageError, match="cls_classifier, distillation_classifier"),
        listen(make("two heads"), ["embedding"]),
    ):
        pass


@pytest.mark.parametrize(
    ("point", "message"),
    [
        ("atention.1", "did you mean 'attention.-1'"),
        ("attention.3", r"no attention.3.*attention.0 to attention.2"),
        ("attention.-4", "attention.0 to attention.2"),
        ("hidden.4", "hidden.0 to hidden.3"),
        ("pooled", "points are logits, embedding, hidden.N, attention.N and qkv.N"),
    ],
)
def test_an_unknown_point_names_what_there_is(make: Make, images: torch.Tensor, point: str, message: str) -> None:
    model = make("ViTConfig")
    with pytest.raises(StageError, match=message), listen(model, [point]):
        model(pixel_values=images)


def test_hidden_states_of_a_plain_module_are_refused() -> None:
    with pytest.raises(StageError, match="Linear is none"), listen(nn.Linear(2, 2), ["hidden.0"]):
        pass


def test_only_the_layers_listened_to_leave_sdpa(
    make: Make, images: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers.integrations import sdpa_attention

    calls = []
    fast = sdpa_attention.sdpa_attention_forward
    monkeypatch.setattr(
        sdpa_attention, "sdpa_attention_forward", lambda module, *a, **k: calls.append(module) or fast(module, *a, **k)
    )
    model = make("ViTConfig")
    with listen(model, ["attention.1"]):
        model(pixel_values=images)
    layers = attention_modules(model)
    assert calls == [layers[0], layers[2]]


def test_nothing_stays_on_the_model(make: Make, images: torch.Tensor) -> None:
    model = make("ViTConfig")
    with listen(model, ["attention.0", "embedding", "hidden.1"]):
        model(pixel_values=images)
    assert not [name for module in model.modules() for name in vars(module) if "teachercache" in name]
    assert model.config._attn_implementation == "sdpa"
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in (model, model.classifier))
    assert model(pixel_values=images).hidden_states is None


def test_the_models_own_attention_comes_back_after_an_error(make: Make, images: torch.Tensor) -> None:
    model = make("ViTConfig", attention="eager")
    with pytest.raises(ValueError, match="channel"), listen(model, ["attention.0"]):
        model(pixel_values=images.expand(3, 3, 16, 16))
    assert model.config._attn_implementation == "eager"
    assert len(model(pixel_values=images, output_attentions=True).attentions) == 3


def test_contexts_on_one_model_do_not_disturb_each_other(make: Make, images: torch.Tensor) -> None:
    model = make("ViTConfig")
    first, second = listen(model, ["attention.0"]), listen(model, ["attention.0", "attention.2"])
    one, two = first.__enter__(), second.__enter__()
    model(pixel_values=images)
    torch.testing.assert_close(one.collect()["attention.0"], two.collect()["attention.0"])
    first.__exit__(None, None, None)
    model(pixel_values=images)
    assert set(two.collect()) == {"attention.0", "attention.2"}
    second.__exit__(None, None, None)
    assert model.config._attn_implementation == "sdpa"


def test_each_thread_hears_its_own_pass(make: Make) -> None:
    model = make("ViTConfig")
    inputs = [torch.randn(n, 1, 16, 16) for n in (1, 2, 3, 4)]
    heard_by_thread: dict[int, torch.Tensor] = {}
    with listen(model, ["attention.1", "embedding"]) as heard:

        def run(n: int) -> None:
            for _ in range(10):
                model(pixel_values=inputs[n])
                values = heard.collect()
                assert len(values["embedding"]) == n + 1
                heard_by_thread[n] = values["attention.1"]

        threads = [Thread(target=run, args=(n,)) for n in range(4)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
    assert {n: len(values) for n, values in heard_by_thread.items()} == {0: 1, 1: 2, 2: 3, 3: 4}


def test_collecting_twice_is_an_error_and_not_an_old_value(make: Make, images: torch.Tensor) -> None:
    model = make("ViTConfig")
    with listen(model, ["logits"]) as heard:
        model(pixel_values=images)
        heard.collect()
        with pytest.raises(StageError, match="nothing was heard"):
            heard.collect()


def test_gradients_flow_through_what_is_heard(make: Make, images: torch.Tensor) -> None:
    model = make("ViTConfig", attention_probs_dropout_prob=0.5).train()
    with listen(model, ["attention.1", "hidden.1", "embedding"]) as heard:
        model(pixel_values=images)
        values = heard.collect()
    query = attention_modules(model)[1].q_proj.weight
    for name in values:
        (gradient,) = torch.autograd.grad(values[name].square().sum(), query, retain_graph=True, allow_unused=True)
        # Layer 1's query shapes its own attention and all that follows; hidden.1 comes before it.
        assert (gradient is None) == (name == "hidden.1")
    sums = values["attention.1"].sum(dim=-1)
    torch.testing.assert_close(sums, torch.ones_like(sums))  # heard before dropout


def test_half_precision_attention_is_heard_in_float32(make: Make, images: torch.Tensor) -> None:
    model = make("ViTConfig").bfloat16()
    with listen(model, ["attention.0"]) as heard, torch.no_grad():
        model(pixel_values=images)
    values = heard.collect()["attention.0"]
    assert values.dtype == torch.float32
    torch.testing.assert_close(values.sum(dim=-1), torch.ones(3, 4, 17))


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        ("ViTConfig", {"logits": (5,), "embedding": (32,), "hidden.3": (17, 32), "attention.2": (4, 17, 17)}),
        ("resnet", {"logits": (5,), "embedding": (16,), "hidden.0": (8, 4, 4), "hidden.2": (16, 2, 2)}),
        ("two heads", {"logits": (5,), "hidden.0": (18, 32), "attention.0": (4, 18, 18)}),
    ],
)
def test_described_points_are_the_ones_that_can_be_heard(
    make: Make, images: torch.Tensor, family: str, expected: dict[str, tuple[int, ...]]
) -> None:
    model = make(family).train()
    model.classifier.eval() if hasattr(model, "classifier") else None
    modes = [module.training for module in model.modules()]
    points = describe_points(model, {"pixel_values": images})
    assert expected.items() <= points.items()
    assert modes == [module.training for module in model.modules()]
    with listen(model, points) as heard:
        model(pixel_values=images)
    assert {name: tuple(values.shape[1:]) for name, values in heard.collect().items()} == points
