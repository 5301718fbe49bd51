"""Arguments that several verbs share."""

from pathlib import Path
from typing import Annotated

import typer

from ..config import CacheConfig
from ..errors import ConfigError
from ..launching.spec import EngineName, LaunchSpec

LaunchName = Annotated[
    EngineName | None,
    typer.Option("--launch", help="where it runs, instead of launch.engine of the configuration"),
]
LaunchDryRun = Annotated[bool, typer.Option("--dry-run", help="print what would be launched, such as sbatch scripts")]
Settle = Annotated[
    float | None, typer.Option(hidden=True, min=0, help="seconds to wait for what the stage before has written")
]
ConfigPath = Annotated[Path, typer.Argument(metavar="CONFIG", help="the YAML file of the run")]


def chosen_launch(config: CacheConfig, engine: EngineName | None, dry_run: bool = False) -> LaunchSpec | None:
    """The launch settings of a command that runs elsewhere; None when it runs in this process. Raises ConfigError for a
    dry run of that."""
    launch = config.launch if engine is None else config.launch.model_copy(update={"engine": engine})
    if launch.engine != "inline":
        return launch
    if dry_run:
        raise ConfigError("--dry-run shows what would be launched; say where: --launch slurm, ray or local")
    return None
