"""Inputs equal their formula, and are made once for all that ask alike."""

import pytest
import torch

from teachercache.stages.errors import StageError
from teachercache.stages.student.inputs.columns import SharedInputs
from teachercache.stages.student.inputs.images import prepare_views
from teachercache.stages.student.spec import InputSource, InputSpec

VIEWS = torch.randint(0, 256, (3, 8, 8, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_pixel_values_equal_their_formula() -> None:
    spec = InputSpec(mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    expected = torch.stack([(VIEWS[..., c] / 255 - spec.mean[c]) / spec.std[c] for c in range(3)], dim=1)
    torch.testing.assert_close(prepare_views(VIEWS, spec), expected)


def test_resizing_is_bilinear_with_antialias() -> None:
    found = prepare_views(VIEWS, InputSpec(size=4, mean=(0.0,), std=(1.0,)))
    expected = torch.nn.functional.interpolate(
        VIEWS.permute(0, 3, 1, 2).float() / 255, (4, 4), mode="bilinear", antialias=True
    )
    torch.testing.assert_close(found, expected)


def test_the_views_own_size_is_not_resized() -> None:
    torch.testing.assert_close(
        prepare_views(VIEWS, InputSpec(size=8)), prepare_views(VIEWS, InputSpec()), rtol=0, atol=0
    )


def test_equal_settings_share_one_tensor() -> None:
    shared = SharedInputs(VIEWS)
    one = shared.inputs({"pixel_values": InputSource(image=InputSpec(size=4))}, 3)["pixel_values"]
    two = shared.inputs({"pixel_values": InputSource(image=InputSpec(size=4))}, 2)["pixel_values"]
    other = shared.inputs({"pixel_values": InputSource(image=InputSpec(size=4, mean=(0.2,)))}, 3)["pixel_values"]
    assert one.data_ptr() == two.data_ptr() != other.data_ptr()
    assert len(two) == 2


def test_statistics_of_another_number_of_channels_are_refused() -> None:
    with pytest.raises(StageError, match="input.mean has 2 values; give one, or one for each of the 3 channels"):
        prepare_views(VIEWS, InputSpec(mean=(0.1, 0.2)))
