"""`teachercache serve`: a finished model behind HTTP."""

from typing import Annotated

import typer

from ..console import console
from .predict import ModelFolder, Threads


def serve(
    model: ModelFolder,
    host: Annotated[str, typer.Option("--host", help="the address that answers")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, help="0 takes a free one")] = 8320,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="most requests in one forward pass")] = 32,
    most_bytes: Annotated[int, typer.Option("--most-bytes", min=1, help="of a request; more is refused")] = 20_000_000,
    most_waiting: Annotated[int, typer.Option("--most-waiting", min=1, help="requests at once; more get 503")] = 256,
    threads: Threads = None,
) -> None:
    """Answer POST /predict until Ctrl-C: a picture as the body, or JSON. What waits is answered in one batch.

    Example: [bold]teachercache serve exported/cnn[/bold], then

    [bold]curl --data-binary @shirt.png -H 'Content-Type: image/png' localhost:8320/predict[/bold]
    """
    from ...stages.deploy.apps.serving.server import predict_server
    from ...stages.deploy.predict import open_predictor

    predictor = open_predictor(model, batch_size, threads)
    with predict_server(predictor, host, port, most_bytes, most_waiting) as server:
        console.print(f"serving {model} at http://{host}:{server.server_address[1]}/predict until Ctrl-C")
        server.serve_forever()
