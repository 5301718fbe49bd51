"""`teachercache export`: a finished student as a folder that runs without torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ..config import load_config
from ..console import console

_TARGETS = "onnx, web (onnx files for a browser), hf (for transformers) or openvino"


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
        bool, typer.Option("--int8", help="weights of 8 bits (onnx and web), judged on held-out rows")
    ] = False,
    way: Annotated[
        str | None, typer.Option(help="of int8: dynamic, static-u8s8 or static-s8s8; by architecture if left out")
    ] = None,
    rows: Annotated[int, typer.Option(min=1, help="of int8: cached rows that calibrate a static way")] = 512,
    agreement: Annotated[
        float, typer.Option(min=0, max=1, help="of int8: share of held-out rows that must keep their answer")
    ] = 0.9,
    licence: Annotated[str | None, typer.Option(help="what the model card says of the licence")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="write over an export that is there")] = False,
) -> None:
    """Export a finished student, checked against torch at batches 1, 2, 7 and 32.

    Example: [bold]teachercache export runs/demo/students/cnn/distilled/seed-0 --to onnx[/bold]

    Example: [bold]teachercache export runs/demo/students/vit/distilled/seed-0 --to web --int8 --config run.yaml[/bold]

    Example: [bold]teachercache export runs/demo/students/vit/distilled/seed-0 --to hf --out my-vit[/bold]
    """
    from ..errors import ConfigError
    from ..exporting import export_checkpoint

    if not int8 and way is not None:
        raise ConfigError("--way says how --int8 is done: say --int8 too")
    chosen = None if outputs is None else tuple(name.strip() for name in outputs.split(","))
    settings = {"way": way, "rows": rows, "agreement": agreement} if int8 else None
    loaded = None if config is None else load_config(config)
    place, made = export_checkpoint(checkpoint, to, out, loaded, chosen, tolerance, replace, licence, settings)
    difference = made.check["largest_difference"]
    said = f"within {difference:.1e} of torch" if difference is not None else _drift(made.quantisation or {})
    console.print(
        f"[green]exported[/green] {place}: {to}, {made.precision}, {made.bytes:,} bytes, {said}", soft_wrap=True
    )


def _drift(found: Mapping[str, Any]) -> str:
    agreed = found["agreement"]
    words = [f"{found['way']}", f"{found['share_of_float_bytes']:.1%} of the float bytes"]
    words.append(f"cosine {found['cosine']:.4f}" if agreed is None else f"agreement {agreed:.2%}")
    if found["drift_points"] is not None:
        words.append(f"drift {found['drift_points']:+.2f} points")
    return f"{', '.join(words)} on {found['rows_judged']} held-out rows"
