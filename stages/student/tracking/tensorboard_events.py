"""TensorBoard events of a trial, where tensorboard is installed. Events are for people; nothing reads them back."""

from pathlib import Path

from ..files.history import Record
from .tracker import scalars


class Events:
    """Writes records as scalars under `<trial>/tensorboard`. Events after `step`, which an earlier, killed run has
    left, are hidden."""

    def __init__(self, folder: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def append(self, record: Record) -> None:
        """Add one record's numbers."""
        for name, value in scalars(record).items():
            self._writer.add_scalar(name, value, record.step)

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()
