"""The model card of an export, `README.md`: what is known of the student, and nothing that is not."""

from collections.abc import Mapping
from typing import Any

from .facts import Facts
from .manifest import Exported
from .script import INSTALL, example_words, filled

_FIGURES = ("samples", "metrics", "top1", "nll", "ece", "agreement", "kl")


def model_card(exported: Exported, facts: Facts, steps: Mapping[str, Any]) -> str:
    """Markdown."""
    return filled(
        "card.md.j2",
        **{key: exported.student[key] for key in ("name", "arm", "seed", "use", "parameters")},
        target=exported.target,
        precision=exported.precision,
        facts=_facts(facts),
        figures=_figures(facts),
        file=_file(exported),
        install=INSTALL[exported.target] + (" tokenizers" if "text" in _kinds(steps) else ""),
        example=example_words(exported.target, steps),
        labels=facts.labels,
    )


def _kinds(steps: Mapping[str, Any]) -> set[str]:
    return {one["kind"] for one in steps["inputs"].values()}


def _facts(facts: Facts) -> list[tuple[str, str]]:
    teacher, data = facts.teacher, facts.data
    about = [teacher.get("model"), teacher.get("revision"), teacher.get("class")]
    counted = f", {data.get('shards')} shards, listing {data.get('listing')}" if data.get("listing") else ""
    return [
        ("teacher", ", ".join(str(one) for one in about if one) or "not known"),
        ("data", f"{data['kind']}{counted}" if data.get("kind") else "not known"),
        ("cache fingerprint", f"`{facts.cache}`" if facts.cache else "not known"),
        ("classes", ", ".join(facts.labels) if facts.labels else "none are named"),
        ("licence", facts.licence or "not stated; that of the data and of the teacher bind it too"),
    ]


def _figures(facts: Facts) -> list[tuple[str, str]]:
    measured = {**facts.figures, **(facts.figures.get("metrics") or {})}
    lines = [(f"{name} (this seed)", _number(value)) for name, value in measured.items() if _is_figure(name, value)]
    for name in ("primary", "retention", "gain"):
        spread = facts.gains.get(name)
        if isinstance(spread, Mapping) and isinstance(spread.get("mean"), int | float):
            lines.append((f"{name} (mean over the report's seeds)", _number(spread["mean"])))
    return lines


def _is_figure(name: str, value: Any) -> bool:
    if name in ("seed", "bytes", "unlabelled", "peak_memory_mb", "format"):
        return False
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _file(exported: Exported) -> list[tuple[str, str]]:
    batches = ", ".join(map(str, exported.check["batches"]))
    lines = [("bytes", f"{exported.bytes:,}")]
    if exported.check["tolerance"] is None:
        lines.append(("checked", f"at batches {batches}: every output is a finite number"))
    elif exported.check["largest_difference"] is None:
        lines.append(("checked", "no: nothing ran it where it was written; `python check.py` does, on a Mac"))
    else:
        least, most = exported.check["largest_difference"], exported.check["tolerance"]
        lines.append(("checked", f"at batches {batches}: within {least:.1e} of torch ({most:.0e} is allowed)"))
    for name, value in (exported.quantisation or {}).items():
        lines.append((f"int8: {name.replace('_', ' ')}", str(value)))
    for name, value in (exported.load or {}).items():
        lines.append((f"load: {name.replace('_', ' ')}", str(value)))
    return lines
