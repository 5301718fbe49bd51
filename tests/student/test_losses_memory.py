"""Relations of a batch of 1,024 rows stay far below 1 GB, and pieces give what the whole gives."""

import subprocess
import sys

import pytest
import torch
from torch import Tensor

from teachercache.stages.student.losses.relation import distances
from teachercache.stages.student.losses.relation.distances import rkd_angle

PEAK = """
import resource, sys, torch
from teachercache.stages.student.losses.relation.distances import rkd_angle, rkd_distance
from teachercache.stages.student.losses.relation.similarity import pkt, sp
torch.set_num_threads(1)
rows, width, names = int(sys.argv[1]), 64, sys.argv[2].split(",")
student = torch.randn(rows, width, requires_grad=True)
teacher = torch.randn(rows, 96)
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # MB on Linux
small = torch.randn(8, 4, requires_grad=True)
for name in names: globals()[name](small, small.detach()).sum().backward()  # libraries are loaded
before = peak()
for name in names: globals()[name](student, teacher).mean().backward()
print(peak() - before, float(student.grad.abs().sum()) > 0)
"""


def grown(rows: int, *names: str) -> float:
    """Megabytes that forward and backward of these losses add to the peak of a process of their own."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(rows), ",".join(names)], capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stderr
    megabytes, moved = done.stdout.split()
    assert moved == "True"
    return float(megabytes)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak is counted in other units")
def test_relations_of_1024_rows_take_little_memory() -> None:
    assert grown(1024, "rkd_distance", "sp", "pkt") < 200


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak is counted in other units")
def test_angles_of_1024_rows_stay_below_one_gigabyte() -> None:
    """All at once they would be 4.3 GB for one side alone."""
    assert grown(1024, "rkd_angle") < 1000


class Largest(torch.utils._python_dispatch.TorchDispatchMode):
    """Notes the largest tensor that any operation makes, on the way there and back."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        found = func(*args, **(kwargs or {}))
        for value in found if isinstance(found, list | tuple) else [found]:
            if isinstance(value, Tensor):
                self.elements = max(self.elements, value.numel())
        return found


def test_no_tensor_of_all_angles_is_ever_made() -> None:
    """At 256 rows, where it takes a moment: 16.8 million angles, and no tensor above a quarter of them."""
    rows = 256
    student = torch.randn(rows, 16, generator=torch.Generator().manual_seed(1)).requires_grad_()
    with Largest() as seen:
        rkd_angle(student, torch.randn(rows, 24, generator=torch.Generator().manual_seed(2))).mean().backward()
    assert rows**2 < seen.elements <= distances._CHUNK < rows**3


def test_pieces_give_what_the_whole_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    student, teacher = (torch.randn(11, width, dtype=torch.float64).requires_grad_() for width in (5, 7))
    weights = torch.rand(11, dtype=torch.float64)

    def all_three() -> tuple[Tensor, ...]:
        found = rkd_angle(student, teacher)
        return found.detach(), *torch.autograd.grad((found * weights).sum(), (student, teacher))

    whole = all_three()
    for chunk in (1, 11 * 11 * 3, 11 * 11 * 10):
        monkeypatch.setattr(distances, "_CHUNK", chunk)
        torch.testing.assert_close(all_three(), whole)


def test_pieces_are_counted_in_full_precision_on_the_way_back_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distances, "_CHUNK", 1)
    student, teacher = torch.randn(6, 5).requires_grad_(), torch.randn(6, 7)
    (plain,) = torch.autograd.grad(rkd_angle(student, teacher).sum(), student)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        (found,) = torch.autograd.grad(rkd_angle(student, teacher).sum(), student)
    torch.testing.assert_close(found, plain, rtol=0, atol=0)
