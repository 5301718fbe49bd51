"""Learnt maps from a student's width to a signal's. They train with the student, and are no part of the saved one."""

from torch import Tensor, nn


class LinearProjector(nn.Module):
    """A Linear over the feature axis: d of (B, d) and (B, T, d), the channels of (B, C, h, w)."""

    def __init__(self, student: tuple[int, ...], signal: tuple[int, ...]) -> None:
        super().__init__()
        self.axis = feature_axis(student)
        self.linear = nn.Linear(student[self.axis], signal[self.axis])

    def forward(self, values: Tensor) -> Tensor:
        axis = self.axis if self.axis < 0 else self.axis + 1  # the batch comes first
        projected: Tensor = self.linear(values.movedim(axis, -1))
        return projected.movedim(-1, axis)


def feature_axis(shape: tuple[int, ...]) -> int:
    """Which axis of one row holds features: the channels of a feature map (C, h, w), else the last."""
    return 0 if len(shape) == 3 else -1


def projectable(student: tuple[int, ...], signal: tuple[int, ...]) -> bool:
    """Whether two shapes of one row differ in the width of their features at most."""
    if len(student) != len(signal) or not student:
        return False
    axis = feature_axis(student) % len(student)
    return student[:axis] + student[axis + 1 :] == signal[:axis] + signal[axis + 1 :]
