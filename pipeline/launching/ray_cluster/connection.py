"""The way to a Ray cluster, and what of Ray is used there. Ray is imported here and nowhere else.

It refuses to start a cluster of its own unless `local` is asked for: work that was meant for a cluster must not end up
on the machine where somebody typed the command.
"""

import importlib
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import LaunchError

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_PATIENCE = 30.0  # seconds until a cluster must have answered


@contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """Ray, connected to the cluster at `address` (left out: RAY_ADDRESS, else one that runs on this machine), or to a
    new one with `local`, which ends with the context. Raises LaunchError without Ray, and without a cluster."""
    ray = _library()
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    where = address or os.environ.get("RAY_ADDRESS") or "auto"
    own = {"include_dashboard": False} if where == "local" else {}
    if own:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a cluster for one command reports to nobody
    try:
        _knock(where)
        ray.init(where, log_to_driver=False, configure_logging=False, **own)
    except (OSError, RuntimeError, ValueError) as error:
        raise LaunchError(
            f"launch.address: no Ray cluster answers at {where} ({_reason(error)}); name one there or in "
            "RAY_ADDRESS, or say `address: local` for one on this machine"
        ) from error
    finally:
        for number, handler in handlers.items():  # Ray puts its own in their place
            signal.signal(number, handler)
    try:
        yield ray
    finally:
        ray.shutdown()


def most_gpus(ray: Any) -> float:
    """GPUs of the machine of the cluster that has most of them."""
    return max((node["Resources"].get("GPU", 0.0) for node in ray.nodes() if node["Alive"]), default=0.0)


def _knock(where: str) -> None:
    """Raise OSError when nobody listens at host:port: Ray itself would try for minutes, and say nothing."""
    host, _, port = where.rpartition(":")
    if host and port.isdigit() and "/" not in host:
        socket.create_connection((host.strip("[]"), int(port)), _PATIENCE).close()


def _library() -> Any:
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise LaunchError("launch.engine: ray needs Ray: pip install 'teachercache[ray]'") from error


def _reason(error: Exception) -> str:
    """The first line of an error, and of the one that it came from, such as a token that is missing."""
    found = [str(one).strip() or type(one).__name__ for one in (error, error.__cause__) if one is not None]
    return "; ".join(text.splitlines()[0][:300] for text in found)
