"""Starts the measuring process of one model, with its threads pinned, and reads what it says."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import StageFailed
from .spec import BenchSpec
from .subject import Subject

_CHILD = Path(__file__).with_name("child.py")
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def measure_cost(subject: Subject, spec: BenchSpec) -> dict[str, Any]:
    """What `child.measure` gives. Raises StageFailed with the child's last words."""
    request = {**subject.request, "batches": list(spec.batches), "runs": spec.runs, "threads": spec.threads}
    pinned = {name: str(spec.threads) for name in _THREADS}
    path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
    done = subprocess.run(
        [sys.executable, "-P", str(_CHILD), json.dumps(request)],
        env={**os.environ, **pinned, "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        last = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), f"exit {done.returncode}")
        said = re.sub(r"^teachercache\.[\w.]+: ", "", last)  # an error of ours says enough without its class
        raise StageFailed(f"{subject.folder} cannot be measured: {said}")
    found: Mapping[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return dict(found)
