"""The page of an export: `index.html`, its code, onnxruntime-web and the samples, all in the export's own folder.

A page is made of students that tell classes of one picture apart. It refuses others by what they are.
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ....errors import StageError
from ...evaluation.candidate import Candidate
from ..graphs import TorchGraph
from ..probes import probe_inputs
from .runtime import Runtime, open_runtime
from .samples import read_samples, write_samples

DOCUMENT, WORKER = "web.json", "offline.js"
_SITE = Path(__file__).parent / "site"
_PAGES = ("index.html", "page.css", "page.js", "classifier.js", "pixels.js", "resample.js")


@dataclass(frozen=True, slots=True)
class AskedPage:
    """`runtime`: where onnxruntime-web lies (None: the pinned release); `samples`: pictures to offer."""

    runtime: Path | None = None
    samples: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Page:
    """All that a page is made of beside the export: `names` and `pixels` of the samples."""

    runtime: Runtime
    names: Sequence[str]
    pixels: Sequence[np.ndarray]


def open_page(asked: AskedPage, candidate: Candidate, graphs: Mapping[str, TorchGraph]) -> Page:
    """Everything that can go wrong, before minutes of export. Raises StageError for a student that no page shows."""
    _refuse_others(candidate, graphs)
    pixels = read_samples(asked.samples, candidate.saved.shape.channels)
    return Page(open_runtime(asked.runtime), [path.name for path in asked.samples], pixels)


def _refuse_others(candidate: Candidate, graphs: Mapping[str, TorchGraph]) -> None:
    what = None
    takes = candidate.saved.student.takes
    if len(graphs) > 1:
        what = f"{' and '.join(graphs)} are two towers, as of CLIP, and it says no classes"
    elif len(takes) != 1 or any(source.image is None for source in takes.values()):
        what = f"it reads {', '.join(takes)}"
    else:
        (graph,) = graphs.values()
        with torch.inference_mode():
            found = graph.run(probe_inputs(graph.inputs, 1, 0))
        if "logits" not in found or found["logits"].ndim != 2:
            what = f"it says {', '.join(f'{name} {tuple(values.shape)}' for name, values in found.items())}"
    if what is not None:
        raise StageError(
            f"{candidate.folder}: a page shows students that tell classes of one picture apart, and of this one "
            f"{what}; --no-page writes its graphs and web.json for a page of your own"
        )


def write_web(
    folder: Path, page: Page | None, exported: Mapping[str, Any], steps: Mapping[str, Any], labels: Sequence[str] | None
) -> None:
    """Write web.json beside the graphs of `exported` (the content of export.json), and with `page` all of the page."""
    content = {"format": 1, "exported": exported, "preprocessing": steps, "labels": labels}
    if page is None:
        _write_json(folder / DOCUMENT, content)
        return
    (graph,) = (one["file"] for one in exported["graphs"].values())
    for name in _PAGES:
        (folder / name).write_bytes((_SITE / name).read_bytes())
    (folder / "ort").mkdir()
    for name, data in page.runtime.files.items():
        (folder / name).write_bytes(data)
    samples = write_samples(folder, graph, page.names, page.pixels)
    names = [*_PAGES, *page.runtime.files, graph, *(sample["file"] for sample in samples)]
    files = {name: _sha256((folder / name).read_bytes()) for name in names}
    about = {"runtime": page.runtime.name, "files": files, "samples": samples}
    _write_json(folder / DOCUMENT, {**content, "page": about})
    _write_worker(folder, {**files, DOCUMENT: _sha256((folder / DOCUMENT).read_bytes())})


def _write_worker(folder: Path, files: Mapping[str, str]) -> None:
    listed = json.dumps(files, indent=1)
    version = hashlib.sha256(listed.encode()).hexdigest()[:16]
    begins = f'const VERSION = "{version}";\nconst FILES = {listed};\n\n'
    (folder / WORKER).write_text(begins + (_SITE / WORKER).read_text("utf-8"), "utf-8")


def _sha256(data: bytes) -> str:
    """As browsers check it (Subresource Integrity)."""
    return "sha256-" + base64.b64encode(hashlib.sha256(data).digest()).decode()


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")
