"""What loading a model's folder takes in memory, measured in a process of its own.

Weights are mapped from their shards and copied tensor by tensor, so the peak should stay near the bytes of the weights.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from ....errors import StageFailed

_CHILD = """
import json, sys, torch, transformers
from pathlib import Path
kind = getattr(transformers, sys.argv[2])
status = Path("/proc/self/status")
def resident(field):
    found = [line for line in status.read_text().splitlines() if line.startswith(field)] if status.exists() else []
    return int(found[0].split()[1]) * 1024 if found else None
before = resident("VmRSS:")
model = kind.from_pretrained(sys.argv[1])
after = resident("VmHWM:")
bytes = sum(p.numel() * p.element_size() for p in model.parameters())
print(json.dumps({"weight_bytes": bytes, "peak_bytes": None if before is None else max(0, after - before)}))
"""


def loading(folder: Path, kind: str) -> dict[str, Any]:
    """`weight_bytes`, and `peak_bytes` by which the process grew while the model was loaded, mapped files among them;
    None where the system does not say. Raises StageFailed when it cannot be loaded there."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _CHILD, str(folder), kind], capture_output=True, text=True
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no word was said"])[-1]
        raise StageFailed(f"transformers cannot load {folder}: {last}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
