"""The `launch` section of the YAML: where commands run, and how large a task is. It changes no result."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from ...stages.gpu_sharing.share import MemoryShare
from .task import StageName

EngineName = Literal["inline", "local", "slurm", "ray"]
Gres = Annotated[str, Field(pattern=r"^[\w.:,*-]+$")]
Gpus = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(gt=0, le=1)]


class LaunchSpec(BaseModel):
    """Where the tasks of a command run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    engine: EngineName = "inline"
    array: int | None = Field(None, gt=0, description="most tasks of a stage")
    shards: int = Field(1, gt=0, description="fewest shards of a task")
    wave: int | None = Field(None, gt=0, description="trials that one task trains side by side")
    workers: int | None = Field(None, gt=0, description="tasks at once")
    crashes: int = Field(3, ge=0, description="how often a task that was killed is started again")
    settle: float = Field(60.0, ge=0, description="seconds that a stage waits for files of the one before to be seen")
    stagger: float = Field(0.0, ge=0, description="seconds between the starts of two tasks")
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    gres: Gres | None = Field(None, description="generic resources of a task, such as gpu:1")
    cpus: int | None = Field(None, gt=0, description="cores of a task")
    memory: str | None = Field(None, description="main memory of a task, such as 16G")
    time: str | None = Field(None, description="time limit of a task")
    signal_delay: int = Field(120, gt=0, description="seconds between the warning and the time limit")
    setup: tuple[str, ...] = Field((), description="lines of shell before the task")
    options: tuple[str, ...] = Field((), description="further options of sbatch")
    address: str | None = Field(None, description="of a Ray cluster; `local` starts one on this machine")
    gpus: Gpus | dict[StageName, Gpus] | None = Field(None, description="GPUs of a task on Ray, also less than one")
    memory_share: Share | dict[StageName, Share] | None = Field(
        None, description="share of a GPU's memory that a process waits for, and takes at most"
    )
    memory_wait: float = Field(600.0, ge=0, description="seconds that it waits; then it ends, to be tried again")
    gpu_memory: float | None = Field(
        None, gt=0, description="GB of a task's GPU, into which trials are packed by what earlier ones took"
    )

    def share_of(self, stage: StageName) -> MemoryShare | None:
        """The share that a process of a stage claims; None when it claims none."""
        share = self.memory_share.get(stage) if isinstance(self.memory_share, dict) else self.memory_share
        return None if share is None else MemoryShare(share, self.memory_wait)

    def train_bytes(self) -> float | None:
        """Bytes of its GPU that a task of trials may fill; None where nobody has said."""
        share = self.share_of("train")
        return None if self.gpu_memory is None else self.gpu_memory * 1e9 * (share.share if share else 1.0)

    def gpus_of(self, stage: StageName, most: float) -> float:
        """GPUs that Ray gives to a task of a stage: those that are asked for, else one where a machine of the cluster
        has `most` (one or more); none for the report, which computes nothing."""
        if isinstance(self.gpus, dict):
            asked = self.gpus.get(stage)
        else:
            asked = self.gpus if stage != "report" else None
        return asked if asked is not None else min(1.0, most if stage != "report" else 0.0)
