"""A command that several processes carry out together (torchrun): one of them speaks, whatever happens.

The first shows what is done. What goes wrong in all of them, or in one, is said once: by who finds out first.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ...stages.student.ranks.environment import rank_asked
from ..config import Config
from ..console import quiet
from ..errors import ConfigError

if TYPE_CHECKING:
    from ...stages.student.ranks.joining import Said
    from ...stages.student.ranks.ranks import Ranks


@contextmanager
def together() -> Iterator["Ranks"]:
    """The processes that torchrun has started, or this one alone. An error that another has told ends this one
    silently, with the same exit code."""
    from ...stages.student.ranks.joining import joined_ranks  # torch, which refusing needs not

    with joined_ranks(os.environ) as (ranks, said), quiet(not ranks.is_first):
        try:
            yield ranks
        except Exception as error:
            code = getattr(error, "exit_code", None)
            if code is not None and _is_said(said):
                sys.exit(code)
            raise


def refuse_ranks(command: str, instead: str) -> None:
    """Raise ConfigError where torchrun has started several processes of a command that does not divide its work."""
    if rank_asked(os.environ) is not None:
        raise ConfigError(f"torchrun: the processes of `{command}` would all do the same; {instead}")


def refuse_studies(config: Config, ranks: "Ranks") -> None:
    """Raise ConfigError for a sweep that Optuna leads, which one process must lead."""
    if ranks.size > 1 and config.studies:
        raise ConfigError(
            f"students.{config.studies[0].name}.sweep: a sweep of kind optuna is led by one process; train it without "
            "torchrun, or let its kind be grid or random"
        )


def _is_said(said: "Said") -> bool:
    try:
        return said()
    except RuntimeError:  # who kept count of it is gone
        return False
