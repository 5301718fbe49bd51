"""Features of other widths: a learnt Linear, a learnt orthogonal map, or the teacher's own principal axes."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import orthogonal

from ...errors import StageError
from ..meeting.projector import LinearProjector, feature_axis, projectable
from ..trial.randomness import seeded

Shape = tuple[int, ...]
WidthMeeting = Literal["linear", "orthogonal"]


class OrthogonalProjector(nn.Module):
    """A learnt map without bias whose columns (or rows, when it narrows) stay orthonormal; over the feature axis.

    Widening, it keeps every distance and angle of the student's features, so the student cannot leave the work to it.
    Its only freedom is a rotation. Miles et al. 2024, "VkD", arXiv 2403.06213.
    """

    def __init__(self, student: Shape, signal: Shape) -> None:
        super().__init__()
        self.axis = feature_axis(student)
        widths = student[self.axis], signal[self.axis]
        self.linear = orthogonal(nn.Linear(*widths, bias=False), orthogonal_map="householder")

    def forward(self, values: Tensor) -> Tensor:
        axis = self.axis if self.axis < 0 else self.axis + 1  # the batch comes first
        projected: Tensor = self.linear(values.movedim(axis, -1))
        return projected.movedim(-1, axis)


class PrincipalAxes(nn.Module):
    """(x - mean) basis: features of the teacher's width d on its first k principal axes. Nothing in it is trained.

    `mean` (d,), `basis` (d, k) with orthonormal columns, as a PCA of the cache gives them. It narrows the *target*; the
    student needs width k.
    """

    mean: Tensor
    basis: Tensor

    def __init__(self, mean: Tensor, basis: Tensor) -> None:
        super().__init__()
        if basis.ndim != 2 or mean.shape != basis.shape[:1] or basis.shape[1] > basis.shape[0]:
            raise StageError(f"principal axes: a mean {tuple(mean.shape)} and a basis {tuple(basis.shape)} do not fit")
        gram = basis.double().T @ basis.double()
        if not torch.allclose(gram, torch.eye(len(gram), dtype=gram.dtype, device=gram.device), atol=1e-3):
            raise StageError("principal axes: the columns of the basis are not orthonormal")
        self.register_buffer("mean", mean.detach().clone())
        self.register_buffer("basis", basis.detach().clone())

    def forward(self, values: Tensor) -> Tensor:
        """(..., d) -> (..., k)."""
        return functional.linear(values - self.mean, self.basis.T)


def build_projector(how: WidthMeeting, student: Shape, signal: Shape, seed: int) -> nn.Module:
    """The projector from an output's row to a signal's, with weights drawn from `seed` alone.

    Shapes are (d,), (T, d) or (C, h, w), and may differ in the width alone, else StageError.
    """
    if not projectable(student, signal):
        raise StageError(f"projector: {student} and {signal} differ in more than the width of their features")
    with seeded(seed):
        return {"linear": LinearProjector, "orthogonal": OrthogonalProjector}[how](student, signal)
