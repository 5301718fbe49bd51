"""A served model says what the predictor says, batches what waits, and refuses with a status."""

import base64
import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asked_models import write_onnx

from teachercache.stages.deploy.apps.serving.server import predict_server
from teachercache.stages.deploy.predict import open_predictor

WEIGHT = np.random.default_rng(0).normal(size=(16, 3)).astype(np.float32)
PNG = base64.b64decode(  # a grey picture of 1 x 1
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Any]:
    pytest.importorskip("onnxruntime")
    predictor = open_predictor(write_onnx(tmp_path / "model", WEIGHT), threads=1)
    with predict_server(predictor, "127.0.0.1", 0, most_bytes=10_000) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(server: Any, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=30)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request(method, path, body, named)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def test_it_says_what_the_predictor_says(server: Any, tmp_path: Path) -> None:
    want = open_predictor(tmp_path / "model").predict(PNG)["logits"]
    status, found = ask(server, "POST", "/predict?top=2", PNG, Content_Type="image/png")
    assert status == 200 and len(found["classes"]) == 2
    np.testing.assert_allclose(found["outputs"]["logits"], want, rtol=1e-5)
    content = json.dumps({"image": base64.b64encode(PNG).decode()}).encode()
    assert ask(server, "POST", "/predict?top=2", content, Content_Type="application/json") == (200, found)
    assert ask(server, "GET", "/health")[1]["inputs"] == {"pixel_values": "image"}


def test_another_address_is_told_which_there_are(server: Any) -> None:
    for method, path in (("GET", "/"), ("GET", "/predict"), ("POST", "/health")):
        want = {"error": f"there is no {method} {path}; there are GET /health, POST /predict"}
        assert ask(server, method, path) == (404, want)


@pytest.mark.parametrize(
    ("path", "body", "headers", "status", "words"),
    [
        ("/predict", b"no picture", {}, 400, "are none of PNG"),
        ("/predict", b"", {}, 400, "is empty"),
        ("/predict", b"x" * 10_001, {}, 413, "10000 are the most"),
        ("/predict", b"{", {"Content_Type": "application/json"}, 400, "is no JSON"),
        ("/predict", b"[]", {"Content_Type": "application/json"}, 400, "JSON is an object"),
        ("/predict", b'{"image": "!"}', {"Content_Type": "application/json"}, 400, "is no base64"),
        ("/predict", b'{"sound": "x"}', {"Content_Type": "application/json"}, 400, "cannot be read"),
        ("/predict?top=0", PNG, {}, 400, "a whole number"),
        ("/elsewhere", PNG, {}, 404, "there is no POST /elsewhere"),
        ("/predict", PNG, {"Host": "elsewhere.example"}, 403, "localhost alone"),
        ("/predict", None, {"Transfer_Encoding": "chunked"}, 411, "Content-Length"),
    ],
)
def test_what_is_refused_has_its_status(
    server: Any, path: str, body: bytes | None, headers: dict[str, str], status: int, words: str
) -> None:
    found = ask(server, "POST", path, body, **headers)
    assert found[0] == status and words in found[1]["error"]


def test_more_than_may_wait_are_told_to_come_again(server: Any) -> None:
    room = server.RequestHandlerClass.room
    while room.acquire(blocking=False):
        pass
    assert ask(server, "POST", "/predict", PNG)[0] == 503
    room.release(256)
    assert ask(server, "POST", "/predict", PNG)[0] == 200


def test_many_clients_at_once_get_their_own_answers(server: Any) -> None:
    said: dict[int, Any] = {}

    def client(number: int) -> None:
        said[number] = ask(server, "POST", f"/predict?top={number % 3 + 1}", PNG)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert all(found[0] == 200 and len(found[1]["classes"]) == number % 3 + 1 for number, found in said.items())
    assert len(said) == 16
