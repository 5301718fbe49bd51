"""bench.json of a run, as `teachercache bench-model --into` wrote it: the report takes it in where it is there."""

import json
from pathlib import Path
from typing import Any

from ...stages.deploy.bench.bench import DOCUMENT, FORMAT
from .errors import ReportError


def read_bench(run: Path) -> dict[str, Any] | None:
    """What it says; None where there is none. Raises ReportError for one that cannot be read."""
    path = run / DOCUMENT
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ReportError(f"{path} cannot be read ({error}); delete it, or run bench-model again") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ReportError(f"{path} is of another version; delete it, or run bench-model again")
    return content
