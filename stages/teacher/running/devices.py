"""On which devices the teacher runs: one process for each, of those that `teacher.devices` asks for."""

import torch

from ...device import pick_device
from ...errors import StageError
from ..spec import TeacherSpec


def teacher_devices(spec: TeacherSpec) -> tuple[str, ...]:
    """Names of devices, at least one; the same may stand there twice. Raises StageError for those that are not here."""
    match spec.devices:
        case None:
            return (str(pick_device(spec.device)),)
        case "auto":
            return tuple(f"cuda:{i}" for i in range(torch.cuda.device_count())) or (str(pick_device(spec.device)),)
        case int(count):
            return _so_many(count, spec.device)
        case names:
            return tuple(str(pick_device(name)) for name in names)


def _so_many(count: int, name: str) -> tuple[str, ...]:
    device = pick_device(name)
    if device.type != "cuda":
        return (str(device),) * count
    if count > torch.cuda.device_count():
        raise StageError(f"teacher.devices: {count} are asked for, and this machine has {torch.cuda.device_count()}")
    return tuple(f"cuda:{i}" for i in range(count))
