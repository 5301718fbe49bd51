"""TensorBoard events of a trial, where tensorboard is installed. Events are for people; nothing reads them back."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .history import Record


class Events:
    """Writes records as scalars under `<trial>/tensorboard`; does nothing where tensorboard is missing."""

    def __init__(self, folder: Path, step: int) -> None:
        self._writer = _open_writer(folder / "tensorboard", step)

    def append(self, record: Record) -> None:
        """Add one record's numbers."""
        if self._writer is not None:
            scalars = {"loss": record.loss, "lr": record.lr, "grad_norm": record.grad_norm}
            scalars |= {f"terms/{name}": value for name, value in record.terms.items()}
            for name, value in scalars.items():
                self._writer.add_scalar(name, value, record.step)

    def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            self._writer.close()


def _open_writer(folder: Path, step: int) -> Any:
    """A writer that hides the events after `step` which an earlier, killed run has left; None without tensorboard."""
    if find_spec("tensorboard") is None:
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=step + 1)
