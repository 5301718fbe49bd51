"""`teachercache moderate`: concepts with fitted thresholds, and pictures sorted by them."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from ..console import console

Model = Annotated[Path, typer.Option("--model", help="a finished student of two towers, or its export to ONNX")]


def fit(
    concepts: Annotated[Path, typer.Argument(metavar="CONCEPTS", help="YAML: name: {texts: [...], others: [...]}")],
    examples: Annotated[Path, typer.Argument(metavar="EXAMPLES", help="a folder; sub-folders say what is shown")],
    model: Model,
    into: Annotated[Path, typer.Option("--into", help="the rules.json to write")],
    rate: Annotated[float, typer.Option("--rate", help="share of harmless pictures that may be flagged")] = 0.01,
    band: Annotated[float, typer.Option("--band", help="pictures for review: up to this many times the rate")] = 5.0,
) -> None:
    """Fit the threshold of each concept on labelled examples, for this very file of the model.

    Example: [bold]teachercache moderate fit concepts.yaml examples --model exported/clip-int8 --into rules.json[/bold]
    """
    from ...stages.deploy.apps.moderate.rules import read_concepts, write_rules
    from ...stages.deploy.apps.moderate.sorting import fit_rules

    rules = fit_rules(model, read_concepts(concepts), examples, rate, band)
    write_rules(into, rules)
    found = {name: asdict(one) for name, one in rules.fitted.items()}
    console.print(_table(found, ("flag", "review", "positives", "negatives", "false_positives", "recall", "precision")))
    console.print(
        f"wrote {into}; these figures are of the examples themselves: `moderate sort --labelled` judges others"
    )


def sort(
    rules: Annotated[Path, typer.Argument(metavar="RULES", help="what `moderate fit` wrote")],
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="pictures and folders of them")],
    model: Model,
    report: Annotated[Path | None, typer.Option("--report", help="write verdicts and figures as JSON")] = None,
    labelled: Annotated[
        bool, typer.Option("--labelled", help="PATH is one folder whose sub-folders say what is shown: measure")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print a line of JSON a picture")] = False,
) -> None:
    """Sort pictures: flag, review or pass, with the reasons.

    Example: [bold]teachercache moderate sort rules.json uploads --model exported/clip-int8 --report report.json[/bold]
    """
    from ...stages.deploy.apps.moderate.rules import read_rules
    from ...stages.deploy.apps.moderate.sorting import measured, sort_pictures
    from ...stages.student.files.durable_files import write_json
    from ..errors import ConfigError

    if labelled and (len(paths) != 1 or not paths[0].is_dir()):
        raise ConfigError("--labelled measures one folder, whose sub-folders say what is shown")
    fitted = read_rules(rules, model)
    found = list(sort_pictures(model, fitted, paths))
    verdicts = [{**asdict(one), "path": str(one.path)} for one in found]
    figures = measured(fitted, found, paths[0]) if labelled else None
    if report is not None:
        write_json(report, {"format": 1, "model": str(model), "figures": figures, "pictures": verdicts})
    if as_json:
        print("\n".join(json.dumps(one, ensure_ascii=False) for one in verdicts))
        return
    table = Table("picture", "verdict", "reasons")
    for one in found:
        words = one.error or ", ".join(f"{why.concept} {why.score:.3f} (flag {why.flag:.3f})" for why in one.reasons)
        table.add_row(str(one.path), one.verdict, words)
    console.print(table)
    if figures is not None:
        console.print(_table(figures, ("precision", "recall", "false_positive_rate", "positives", "negatives")))


def _table(found: Mapping[str, Mapping[str, Any]], columns: tuple[str, ...]) -> Table:
    table = Table("concept", *(name.replace("_", " ") for name in columns))
    for name, one in found.items():
        table.add_row(name, *(f"{one[c]:.3f}" if isinstance(one[c], float) else str(one[c]) for c in columns))
    return table


COMMANDS: dict[str, Callable[..., Any]] = {"fit": fit, "sort": sort}
