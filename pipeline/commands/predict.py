"""`teachercache predict`: what a finished model says of files and texts."""

import json
from pathlib import Path
from typing import Annotated

import typer

from ..console import console, errors

ModelFolder = Annotated[Path, typer.Argument(metavar="MODEL", help="the folder of a finished student, or of an export")]
Threads = Annotated[
    int | None, typer.Option("--threads", min=1, help="threads of the runtime; its own choice if left out")
]


def predict(
    model: ModelFolder,
    paths: Annotated[
        list[str] | None, typer.Argument(metavar="[PATH]...", help="pictures, folders of them, or .npy files")
    ] = None,
    text: Annotated[list[str] | None, typer.Option("--text", help="a text; may be given several times")] = None,
    top: Annotated[int, typer.Option("--top", min=1, help="classes shown of each item")] = 3,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="items in one forward pass")] = 32,
    threads: Threads = None,
    most_tokens: Annotated[
        int, typer.Option("--most-tokens", min=1, help="of a student that writes texts: tokens of an answer")
    ] = 64,
    as_json: Annotated[bool, typer.Option("--json", help="print every output as JSON")] = False,
) -> None:
    """Ask a finished student, or an exported one, about pictures, arrays or texts. What cannot be read is named, the
    others are answered, and the exit code is 2.

    Example: [bold]teachercache predict runs/demo/students/cnn/distilled/seed-0 shirt.png photos/ --json[/bold]

    Example: [bold]teachercache predict exported/clip --text "red apple"[/bold]

    Example: [bold]teachercache predict exported/llava photo.png --text "what is this?" --most-tokens 20[/bold]
    """
    from ...stages.deploy.predict import open_predictor
    from ..using.predicting import asked_items, error_lines, predictions_json, predictions_table

    predictor = open_predictor(model, batch_size, threads, most_tokens)
    names, items = asked_items(predictor, paths or (), text or ())
    found, code = predictions_json(predictor, names, items, top)
    if as_json:
        print(json.dumps(found, ensure_ascii=False, allow_nan=False))
    elif any("error" not in one for one in found):
        console.print(predictions_table(found))
    for line in error_lines(found):
        errors.print("[bold red]error[/bold red]: ", end="")
        errors.print(line, markup=False, soft_wrap=True)
    if code:
        raise typer.Exit(code)
