"""Where on a GPU the work of a trial is queued: a CUDA stream of its own, so that small students fill it together.

A lane begins with what the main stream holds by then, a batch among it. What several trials share is made on the main
stream, whoever asks first, and who asks waits for it there. Before the next batch is taken the main stream waits for
every lane: only then may the allocator give a batch's memory away, or a checkpoint be read. On other devices than CUDA
ones there are no lanes, and nothing is done.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Lane:
    """The lane of one trial."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    @contextmanager
    def work(self) -> Iterator[None]:
        """What is queued within the context follows what this trial and the main stream have queued before."""
        if self._stream is None:
            yield
            return
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            yield

    def join(self) -> None:
        """Have the main stream wait for this trial. The host waits for nothing."""
        if self._stream is not None:
            torch.cuda.current_stream(self._device).wait_stream(self._stream)


def main_stream(device: torch.device) -> torch.cuda.Stream | None:
    """The stream that is current now; None on other devices than CUDA ones."""
    return torch.cuda.current_stream(device) if device.type == "cuda" else None


@contextmanager
def made_on(main: torch.cuda.Stream | None) -> Iterator[None]:
    """What is made within the context is made on the main stream; the stream that asked waits for it, and for all that
    was made there before."""
    if main is None:
        yield
        return
    asking = torch.cuda.current_stream(main.device)
    with torch.cuda.stream(main):
        yield
    asking.wait_stream(main)
