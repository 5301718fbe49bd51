"""What counts as a parameter, as an embedding, and as a byte."""

import torch
from torch import nn

from teachercache.stages.deploy.measuring.size import ModelSize, model_size, weight_bytes
from teachercache.stages.student.models.builders import StudentShape, build_student
from teachercache.stages.student.spec import StudentSpec


def student(use: str, **args: object) -> nn.Module:
    objective = [{"loss": "cross_entropy"}]
    spec = StudentSpec.model_validate({"name": "s", "use": use, "args": args, "objective": objective})
    return build_student(spec, StudentShape(5, 3, 16), ("logits",), 0)


def test_a_vits_patches_positions_and_class_token_are_embeddings() -> None:
    """Inside a student's wrapper as well: (3 * 8 * 8 + 1) * 24 for patches, 5 * 24 positions, 24 for the token."""
    vit = student(
        "transformers:ViTConfig",
        hidden_size=24,
        num_hidden_layers=1,
        num_attention_heads=3,
        intermediate_size=32,
        patch_size=8,
    )
    found = model_size(vit)
    assert found.total - found.without_embeddings == (3 * 64 + 1) * 24 + 5 * 24 + 24
    assert found.total == sum(parameter.numel() for parameter in vit.parameters())


def test_a_convolutional_student_has_no_embeddings() -> None:
    small = student("cnn", widths=[4, 8])
    convolutions, norms, head = 3 * 4 * 9 + 4 * 8 * 9, 2 * (4 + 8), 8 * 5 + 5
    assert model_size(small) == ModelSize(convolutions + norms + head, convolutions + norms + head)


def test_a_tied_table_is_counted_once_and_is_an_embedding() -> None:
    table, head = nn.Embedding(10, 4), nn.Linear(4, 10)
    head.weight = table.weight
    model = nn.ModuleDict({"head": head, "table": table})
    assert model_size(model) == ModelSize(50, 10)
    assert weight_bytes(model) == 50 * 4


def test_buffers_are_bytes_and_no_parameters() -> None:
    norm = nn.BatchNorm1d(3)
    assert model_size(norm).total == 6
    assert weight_bytes(norm) == (6 + 6) * 4 + 8  # weight, bias, mean, variance, and an int64 counter
    assert weight_bytes(norm.to(torch.float16)) == (6 + 6) * 2 + 8
