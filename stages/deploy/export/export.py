"""Exports a finished student: its graphs are written, run and held against torch, and then the folder is published.

It refuses a graph that differs from torch, returns what is no number, or cannot be said in the target.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import StageError
from ...versions import library_versions
from ..evaluation.candidate import Candidate
from ..measuring.size import model_size
from . import preprocess
from .card import model_card
from .check import BATCHES, TOLERANCE, check_graph
from .facts import Facts
from .folder import files_xxh3, graph_files, new_folder
from .graphs import TorchGraph, similarity, student_graphs, writes
from .manifest import DOCUMENT, Exported, Graph
from .preprocessing import preprocessing, write_tokenizers
from .script import run_script
from .targets.target import Target, target_of
from .unchecked import require_word, write_probes
from .web.page import AskedPage, Page, open_page, write_web
from .writers import writing


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be made: the target, the folder, the outputs (None: the student's answers), the tolerance, of target
    web the page around the graphs (None: no page), and `unchecked` of a target that nothing here runs."""

    target: str
    out: Path
    outputs: tuple[str, ...] | None = None
    tolerance: float = TOLERANCE
    replace: bool = False
    page: AskedPage | None = None
    unchecked: bool = False


def default_folder(candidate: Candidate, target: str, int8: bool) -> Path:
    """Where an export goes when nobody says otherwise."""
    return candidate.folder / "export" / (f"{target}-int8" if int8 else target)


def export_student(candidate: Candidate, asked: Asked, facts: Facts) -> Exported:
    """Write `asked.out`, in float32. Raises StageError, and leaves nothing, when it cannot be done."""
    if asked.target == "hf":
        from .hf.export_hf import export_hf

        return export_hf(candidate, asked.out, facts, asked.replace)
    if writes(candidate):
        from .writers.export_writer import export_writer

        return export_writer(candidate, asked, facts)
    target = target_of(asked.target)
    require_word(target, asked.unchecked)
    graphs = target.fitted(student_graphs(candidate, asked.outputs))
    page = asked_page(candidate, asked, graphs)
    with new_folder(asked.out, asked.replace) as folder:
        for name, graph in graphs.items():
            target.write(graph, folder / f"{name}{target.suffix}")
        difference = _difference(target, graphs, folder, asked)
        check = {"batches": list(BATCHES), "tolerance": asked.tolerance, "largest_difference": difference}
        exported = described(candidate, asked.target, graphs, written_graphs(target, graphs, folder), facts, check)
        finish(folder, exported, candidate, facts, any(graph.fixed_length for graph in graphs.values()), page)
    return exported


def asked_page(candidate: Candidate, asked: Asked, graphs: Mapping[str, TorchGraph]) -> Page | None:
    """What the page is made of. Raises StageError for a student that none shows, and for another target than web."""
    if asked.page is None:
        return None
    if asked.target != "web":
        raise StageError(f"a page is made of --to web, and not of {asked.target}")
    return open_page(asked.page, candidate, graphs)


def described(
    candidate: Candidate,
    target: str,
    graphs: Mapping[str, TorchGraph],
    files: Mapping[str, Graph],
    facts: Facts,
    check: Mapping[str, Any],
    **more: Any,
) -> Exported:
    """What export.json says of these graphs."""
    outputs = {name for graph in graphs.values() for name in graph.outputs}
    kind = "classifier" if "logits" in outputs else "two-towers" if outputs <= _EMBEDS else "outputs"
    first = next(iter(graphs.values())).module.student
    assert not isinstance(first, str)
    return Exported(
        target=target,
        precision=more.pop("precision", "float32"),
        kind=kind,
        student=student_facts(candidate, first),
        graphs=files,
        check=check,
        versions=library_versions(),
        cache=facts.cache,
        similarity=similarity(first) if kind == "two-towers" else None,  # type: ignore[arg-type]
        **more,
    )


_EMBEDS = {"image_embeds", "text_embeds"}


def student_facts(candidate: Candidate, student: Any) -> dict[str, Any]:
    """Who the student is, as export.json says it."""
    spec = candidate.saved.student
    return {
        "name": spec.name,
        "use": spec.use,
        "arm": candidate.saved.arm,
        "seed": candidate.saved.seed,
        "weights": candidate.weights,
        "parameters": model_size(student).total,
    }


def written_graphs(target: Target, graphs: Mapping[str, TorchGraph], folder: Path) -> dict[str, Graph]:
    """The graphs' files as they lie in `folder`."""
    found: dict[str, Graph] = {}
    for name, graph in graphs.items():
        file = folder / f"{name}{target.suffix}"
        files = graph_files(file)
        inputs, outputs = target.ends(graph, file)
        found[name] = Graph(file.name, sum(f.stat().st_size for f in files), files_xxh3(files), inputs, outputs)
    return found


def finish(
    folder: Path, exported: Exported, candidate: Candidate, facts: Facts, fixed_length: bool, page: Page | None = None
) -> None:
    """Everything beside the graphs, `export.json` last."""
    steps = preprocessing(candidate.saved, fixed_length)
    if exported.target != "hf":  # transformers has files of its own for that
        write_tokenizers(candidate.saved, steps, folder)
        _write_json(folder / "preprocessing.json", steps)
        shutil.copyfile(preprocess.__file__, folder / "preprocess.py")
    if exported.kind == "classifier":
        labels = facts.labels or tuple(map(str, range(candidate.saved.shape.classes)))
        _write_json(folder / "labels.json", list(labels))
    if exported.target == "web":
        write_web(folder, page, exported.document(), steps, facts.labels)
    if exported.kind == "writer" and exported.target != "hf":
        shutil.copyfile(writing.__file__, folder / "writing.py")
    (folder / "run.py").write_text(run_script(exported.target, steps, exported.kind), "utf-8")
    (folder / "README.md").write_text(model_card(exported, facts, steps), "utf-8")
    _write_json(folder / DOCUMENT, exported.document())


def _difference(target: Target, graphs: Mapping[str, TorchGraph], folder: Path, asked: Asked) -> float | None:
    """From torch, the largest of all graphs; None where it is left to another machine."""
    if asked.unchecked:
        write_probes(graphs, folder)
        return None
    return max(_checked(target, folder / f"{name}{target.suffix}", one, asked) for name, one in graphs.items())


def _checked(target: Target, file: Path, graph: TorchGraph, asked: Asked) -> float:
    return check_graph(graph, target.open(graph, file), asked.tolerance, f"{asked.out.name}/{file.name}")


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")
