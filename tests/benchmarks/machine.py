"""What the figures were measured on."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

_LIBRARIES = ("torch", "transformers", "numpy", "zarr", "pyarrow", "safetensors")


def describe_machine() -> dict[str, str]:
    """Processor, cores, load, memory, system and versions, for people."""
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "load": f"{os.getloadavg()[0]:.1f} before the first benchmark",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **{name: version(name) for name in _LIBRARIES},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
