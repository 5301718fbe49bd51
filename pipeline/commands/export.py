"""`teachercache export`: a finished student as a folder that runs without torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ..config import load_config
from ..console import console

_TARGETS = "onnx, web (a page for a browser), hf (for transformers), openvino, litert, executorch or coreml"
_WAY = "of int8: dynamic, static-u8s8 or static-s8s8; by architecture if left out"
_Way = Annotated[str | None, typer.Option(help=_WAY)]
_Rows = Annotated[int, typer.Option(min=1, help="of int8: cached rows that calibrate a static way")]
_AGREEMENT = "of int8: share of held-out rows that must keep their answer"
_Agreement = Annotated[float, typer.Option(min=0, max=1, help=_AGREEMENT)]
_Page = Annotated[bool, typer.Option("--page/--no-page", help="of web: the page, or the graphs and web.json alone")]
_RUNTIME = "of web: npm's onnxruntime-web, a folder or tarball; fetched once if left out"
_Runtime = Annotated[Path | None, typer.Option(help=_RUNTIME)]
_UNCHECKED = "of coreml away from a Mac: write it with torch's answers and a check.py that a Mac runs"
_Unchecked = Annotated[bool, typer.Option("--unchecked", help=_UNCHECKED)]
_Samples = Annotated[list[Path] | None, typer.Option(help="of web: a picture that the page offers; repeatable")]


def export(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="the folder of a finished student")],
    to: Annotated[str, typer.Option(help=_TARGETS)],
    out: Annotated[
        Path | None, typer.Option(help="the folder to write; CHECKPOINT/export/<target> if left out")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="the YAML file of its run: names of the classes, rows that --int8 needs")
    ] = None,
    outputs: Annotated[
        str | None, typer.Option(help="other outputs than its answers, such as logits,embedding")
    ] = None,
    tolerance: Annotated[float, typer.Option(min=0, help="the largest difference from torch")] = 1e-4,
    int8: Annotated[
        bool, typer.Option("--int8", help="weights of 8 bits (onnx, web, litert, executorch), judged on held-out rows")
    ] = False,
    way: _Way = None,
    rows: _Rows = 512,
    agreement: _Agreement = 0.9,
    page: _Page = True,
    runtime: _Runtime = None,
    sample: _Samples = None,
    unchecked: _Unchecked = False,
    licence: Annotated[str | None, typer.Option(help="what the model card says of the licence")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="write over an export that is there")] = False,
) -> None:
    """Export a finished student, checked against torch at batches 1, 2, 7 and 32.

    Example: [bold]teachercache export runs/demo/students/cnn/distilled/seed-0 --to onnx[/bold]

    Example: [bold]teachercache export runs/demo/students/vit/distilled/seed-0 --to web --int8 --config run.yaml[/bold]

    Example: [bold]teachercache export runs/demo/students/cnn/distilled/seed-0 --to web --sample shirt.png[/bold]

    Example: [bold]teachercache export runs/demo/students/vit/distilled/seed-0 --to hf --out my-vit[/bold]

    Example: [bold]teachercache export runs/demo/students/cnn/distilled/seed-0 --to coreml --unchecked[/bold]
    """
    from ..errors import ConfigError
    from ..using.exporting import export_checkpoint

    if not int8 and way is not None:
        raise ConfigError("--way says how --int8 is done: say --int8 too")
    if unchecked and (to != "coreml" or int8):
        raise ConfigError("--unchecked is of --to coreml in float32: everything else is checked where it is written")
    if (runtime or sample) and (to != "web" or not page):
        raise ConfigError("--runtime and --sample are of the page that --to web makes")
    around = (runtime, tuple(sample or ())) if to == "web" and page else None
    chosen = None if outputs is None else tuple(name.strip() for name in outputs.split(","))
    settings = {"way": way, "rows": rows, "agreement": agreement} if int8 else None
    loaded = None if config is None else load_config(config)
    asked = (to, out, loaded, chosen, tolerance, replace, licence, settings, around, unchecked)
    place, made = export_checkpoint(checkpoint, *asked)
    said = _said(made)
    if around is not None:
        said += f"; to see the page: python -m http.server --directory {place}"
    console.print(
        f"[green]exported[/green] {place}: {to}, {made.precision}, {made.bytes:,} bytes, {said}", soft_wrap=True
    )


def _said(made: Any) -> str:
    """How near it is to torch or, in int8, to its float parent."""
    if made.quantisation is not None:
        return _drift(made.quantisation)
    found = made.check["largest_difference"]
    return "NOT checked: run its check.py on a Mac" if found is None else f"within {found:.1e} of torch"


def _drift(found: Mapping[str, Any]) -> str:
    agreed = found["agreement"]
    words = [f"{found['way']}", f"{found['share_of_float_bytes']:.1%} of the float bytes"]
    words.append(f"cosine {found['cosine']:.4f}" if agreed is None else f"agreement {agreed:.2%}")
    if found["drift_points"] is not None:
        words.append(f"drift {found['drift_points']:+.2f} points")
    return f"{', '.join(words)} on {found['rows_judged']} held-out rows"
