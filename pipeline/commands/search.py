"""`teachercache search`: a folder of pictures, searched by text or picture with a student of two towers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from ..console import console, counted, progress_bar
from ..errors import ConfigError

IndexFolder = Annotated[Path, typer.Argument(metavar="INDEX", help="the folder of an index")]
OtherModel = Annotated[
    Path | None, typer.Option("--model", help="another form of the index's student, such as its int8 export")
]


def index(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="pictures, in folders as deep as you like")],
    model: Annotated[Path, typer.Option("--model", help="a finished student of two towers, or its export to ONNX")],
    into: Annotated[Path, typer.Option("--into", help="the folder of the index")],
) -> None:
    """Make an index of a folder of pictures, or bring it up to date: only what is new or changed is looked at.

    Example: [bold]teachercache search index photos --model exported/clip --into photos.index[/bold]
    """
    from ...stages.deploy.apps.search.index import update_index

    with progress_bar("index", "pictures") as bar:
        done = update_index(into, folder, model, bar.update)
    console.print(f"{into}: {counted(done.total, 'picture')}, {done.added} added, {done.removed} removed")
    for reason in done.skipped[:5]:
        console.print(f"[yellow]left out[/yellow] {reason}", markup=True)
    if len(done.skipped) > 5:
        console.print(f"and {len(done.skipped) - 5} more that are no picture")


def query(
    index: IndexFolder,
    text: Annotated[str | None, typer.Argument(metavar="[TEXT]", help="what to search for")] = None,
    image: Annotated[Path | None, typer.Option("--image", help="or a picture, whose like is searched for")] = None,
    top: Annotated[int, typer.Option("--top", min=1, help="pictures shown")] = 10,
    model: OtherModel = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Search an index by text or by picture.

    Example: [bold]teachercache search query photos.index "red apple"[/bold]
    """
    from ...stages.deploy.apps.search.index import SearchIndex

    if (text is None) == (image is None):
        raise ConfigError("search by a text or by --image, one of them")
    opened = SearchIndex(index, model)
    hits = opened.by_image(image, top) if image is not None else opened.by_text(text or "", top)
    if as_json:
        print(json.dumps([{"path": str(hit.path), "cosine": hit.cosine} for hit in hits], ensure_ascii=False))
        return
    table = Table("picture", "cosine")
    for hit in hits:
        table.add_row(str(hit.path), f"{hit.cosine:.3f}")
    console.print(table)


def page(
    index: IndexFolder,
    model: OtherModel = None,
    host: Annotated[str, typer.Option("--host", help="the address that answers")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, help="0 takes a free one")] = 8321,
) -> None:
    """Serve a page on this machine to search an index with, until Ctrl-C.

    Example: [bold]teachercache search page photos.index[/bold]
    """
    from ...stages.deploy.apps.search.index import SearchIndex
    from ...stages.deploy.apps.search.page import search_server

    with search_server(SearchIndex(index, model), host, port) as server:
        console.print(f"searching {index} at http://{host}:{server.server_address[1]}/ until Ctrl-C")
        server.serve_forever()


COMMANDS: dict[str, Callable[..., Any]] = {"index": index, "query": query, "page": page}
