"""What a command does about the memory of the GPU that it shares: it claims its share, and records what trials took."""

from collections.abc import Callable, Sequence

from ...stages.device import pick_device
from ...stages.gpu_sharing.claim import claim_memory, peak_bytes
from ...stages.student.trial.training import TrialResult
from ..config import Config
from ..launching.peaks import note_peak
from ..launching.task import StageName


def claim_share(config: Config, stage: StageName, stop: Callable[[], bool]) -> None:
    """Wait until the share of `launch.memory_share` is free on the device that students train on, and keep to it.

    Raises Interrupted when it is not free in time: the same command tries again.
    """
    share = config.launch.share_of(stage)
    if share is not None:
        claim_memory(share, pick_device(config.train.device), stop)


def note_peaks(config: Config, results: Sequence[TrialResult]) -> None:
    """Record what the trials that were trained here took of the GPU together."""
    trained = [result.trial for result in results if result.status != "failed"]
    device = pick_device(config.train.device)
    note_peak(config.run / "students", trained, config.train.at_once, peak_bytes(device))
