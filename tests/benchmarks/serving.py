"""What HTTP and its batches cost: requests over loopback one by one, many clients at once, a plain loop beside them.

    python tests/benchmarks/serving.py MODEL PICTURE

Each contender has its turn in every round; the server shares the cores with its clients, as on one machine. It prints
p50 and p95 of a request, requests a second, and the CPU time of client and server together. Nothing is asserted.
"""

import http.client
import threading
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from teachercache.stages.deploy.apps.serving.server import predict_server
from teachercache.stages.deploy.predict import Predictor, open_predictor


def main(
    model: Path,
    picture: Path,
    requests: Annotated[int, typer.Option(help="in each turn")] = 200,
    clients: Annotated[int, typer.Option(help="at once")] = 16,
    rounds: int = 3,
) -> None:
    """Measure, and print a line for each contender."""
    predictor, data = open_predictor(model, threads=1), picture.read_bytes()
    with predict_server(predictor, "127.0.0.1", 0, 10_000_000) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_address[1]
        found: dict[str, list[float]] = {"plain loop": [], "HTTP, 1 client": [], f"HTTP, {clients} clients": []}
        spent, cpu = dict.fromkeys(found, 0.0), dict.fromkeys(found, 0.0)
        for _ in range(rounds):
            for name, one in zip(found, (0, 1, clients), strict=True):
                begun, worked = time.perf_counter(), time.process_time()
                found[name] += _loop(predictor, data, requests) if one == 0 else _clients(port, data, one, requests)
                spent[name] += time.perf_counter() - begun
                cpu[name] += time.process_time() - worked
        server.shutdown()
    for name, seconds in found.items():
        p50, p95 = np.percentile(seconds, (50, 95)) * 1e3
        rate, work = len(seconds) / spent[name], cpu[name] / len(seconds) * 1e3
        print(f"{name}: p50 {p50:.2f} ms, p95 {p95:.2f} ms, {rate:,.0f} requests/s, {work:.2f} ms of CPU a request")


def _loop(predictor: Predictor, data: bytes, requests: int) -> list[float]:
    found = []
    for _ in range(requests):
        begun = time.perf_counter()
        predictor.predict(data, "image")
        found.append(time.perf_counter() - begun)
    return found


def _clients(port: int, data: bytes, clients: int, requests: int) -> list[float]:
    found: list[float] = []
    threads = [threading.Thread(target=_client, args=(port, data, requests // clients, found)) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def _client(port: int, data: bytes, requests: int, found: list[float]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    for _ in range(requests):
        begun = time.perf_counter()
        connection.request("POST", "/predict", data, {"Content-Type": "image/png"})
        response = connection.getresponse()
        response.read()
        assert response.status == 200
        found.append(time.perf_counter() - begun)
    connection.close()


if __name__ == "__main__":
    typer.run(main)
