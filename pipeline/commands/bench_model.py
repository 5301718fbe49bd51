"""`teachercache bench-model`: what finished and exported models cost, and what they still know."""

import json
from pathlib import Path
from typing import Annotated

import typer

from ..console import console, quiet
from ..errors import ConfigError


def bench_model(
    models: Annotated[list[Path], typer.Argument(metavar="MODEL...", help="finished students and exports to ONNX")],
    data: Annotated[
        str | None,
        typer.Option("--data", help="labelled samples: a folder, one sub-folder a class, or a glob of shards"),
    ] = None,
    caption: Annotated[
        str | None, typer.Option("--caption", help="two towers: the extension of the samples' texts, such as json")
    ] = None,
    batches: Annotated[str, typer.Option("--batches", help="batch sizes")] = "1,8,32",
    runs: Annotated[int, typer.Option("--runs", min=5, help="timed passes a batch size")] = 50,
    threads: Annotated[int, typer.Option("--threads", min=1, help="threads, pinned")] = 1,
    false_positives: Annotated[
        float,
        typer.Option("--false-positives", min=0, max=0.5, help="where the thresholds lie whose flips are counted"),
    ] = 0.01,
    teacher: Annotated[
        Path | None, typer.Option("--teacher", help="the folder `teacher` of an evaluated run, for the plot")
    ] = None,
    into: Annotated[
        Path | None, typer.Option("--into", help="writes bench.json and bench.svg; a run's folder: its report has them")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print bench.json, and nothing else")] = False,
) -> None:
    """Measure latency, memory, bytes and work of models, and on labelled samples accuracy, agreement and flips.

    Each model runs in a process of its own, one after another. Variants are held against the float model in the same
    call that they were exported from.

    Example: [bold]teachercache bench-model TRIAL TRIAL/export/onnx TRIAL/export/onnx-int8 --data 'test-*.tar'[/bold]
    """
    from ...stages.deploy.bench.spec import BenchSpec
    from ..using.benching import bench_table, run_bench

    spec = BenchSpec(_sizes(batches), runs, threads, false_positives)
    with quiet(as_json):
        found = run_bench(models, spec, data, caption, teacher, into)
        console.print(bench_table(found))
    if as_json:
        print(json.dumps(found, indent=1, ensure_ascii=False))


def _sizes(words: str) -> tuple[int, ...]:
    try:
        sizes = tuple(int(word) for word in words.split(","))
    except ValueError:
        sizes = ()
    if not sizes or min(sizes) < 1:
        raise ConfigError(f"--batches: {words!r} are no batch sizes; write them as 1,8,32")
    return sizes
