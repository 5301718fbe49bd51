"""The page of an export in a real browser: it says what Python says, and goes on without its server."""

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import PROGRAM, Chromium
from PIL import Image

from teachercache.data import SourceSpec, open_source
from teachercache.stages.deploy.evaluation.candidate import read_candidate
from teachercache.stages.deploy.export.export import Asked, export_student
from teachercache.stages.deploy.export.facts import Facts
from teachercache.stages.deploy.export.rows import RealRows
from teachercache.stages.deploy.export.web.page import AskedPage
from teachercache.stages.deploy.export.web.runtime import open_runtime
from teachercache.stages.deploy.predict import open_predictor
from teachercache.stages.deploy.quantise.export_int8 import Int8, export_int8
from teachercache.stages.errors import StageError

pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(PROGRAM is None, reason="there is no Chromium here")]
LABELS = ("ant", "bee", "cat", "dog", "elk", "fox", "gnu")
EMOJI = Path(__file__).resolve().parents[2] / "data" / "samples" / "emoji" / "seen-0000.tar"
READY = """new Promise((done, fail) => { const look = () => {
  if (document.body.dataset.state === 'ready') done();
  else if (document.body.dataset.state === 'failed') fail(document.getElementById('said').textContent);
  else setTimeout(look, 20); }; look(); })"""
KEPT = "navigator.serviceWorker.ready.then(() => true)"


@pytest.fixture(scope="module", autouse=True)
def runtime() -> None:
    try:
        open_runtime()
    except StageError as error:
        pytest.skip(f"onnxruntime-web cannot be had: {error}")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Shipped pictures of 32 x 32, and noise of other forms: wide, tall, grey, transparent."""
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    source = open_source(SourceSpec(path=str(EMOJI)))
    for number, sample in enumerate(list(source.read(source.shards()[0]))[:4]):
        (folder / f"{number}.webp").write_bytes(sample.image)
    for name, shape in {"wide": (40, 97, 3), "tall": (97, 40, 3), "grey": (21, 19), "clear": (30, 30, 4)}.items():
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(folder / f"{name}.png")
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def student(save: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It sees views of 16 pixels at 24, so that both resamplings are there."""
    inputs = {"pixel_values": {"image": {"size": 24, "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.25]}}}
    return save(tmp_path_factory.mktemp("run") / "students", inputs=inputs)


@pytest.fixture(scope="module")
def exported(student: Path, pictures: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("exports") / "web"
    page = AskedPage(samples=tuple(pictures))
    export_student(read_candidate(student), Asked("web", out, page=page), Facts(labels=LABELS))
    return out


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, and says nothing."""

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def served(folder: Path, port: int = 0) -> Iterator[int]:
    """The folder on loopback; its port."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Chromium]:
    chromium = Chromium(tmp_path / "profile")
    yield chromium
    chromium.close()


def logits(browser: Chromium, file: str) -> np.ndarray:
    """What the page's own code says of a file of its folder."""
    script = f"""(async () => {{
      const {{ decode }} = await import('./pixels.js'), {{ loadClassifier }} = await import('./classifier.js');
      window.classifier ??= await loadClassifier();
      const found = await window.classifier.classify(await decode(await (await fetch({file!r})).blob()));
      return JSON.stringify([...found.logits]);
    }})()"""
    return np.array(json.loads(browser.run(script)))


def test_the_browser_says_what_python_says(exported: Path, pictures: list[Path], browser: Chromium) -> None:
    predictor, about = open_predictor(exported, threads=1), json.loads((exported / "web.json").read_text())
    with served(exported) as port:
        browser.open(f"http://127.0.0.1:{port}/")
        browser.run(READY)
        for picture, sample in zip(pictures, about["page"]["samples"], strict=True):
            want, found = predictor.predict(picture)["logits"], logits(browser, sample["file"])
            np.testing.assert_allclose(sample["logits"], want, rtol=0, atol=1e-5)
            np.testing.assert_allclose(found, want, rtol=0, atol=1e-3)
            assert found.argmax() == want.argmax()


def test_a_chosen_file_and_a_sample_are_answered_on_the_page(
    exported: Path, pictures: list[Path], browser: Chromium, tmp_path: Path
) -> None:
    shares = np.exp(open_predictor(exported, threads=1).predict(pictures[0])["logits"])
    best, share = LABELS[int(shares.argmax())], f"{100 * shares.max() / shares.sum():.1f} %"
    said = "document.getElementById('said').textContent"
    change = "new Promise(done => new MutationObserver(() => { if (" + said + " !== '…') done(" + said + "); })"
    change += ".observe(document.getElementById('said'), {childList: true}))"
    row = "[...document.querySelectorAll('#classes tr:first-child td')].map(cell => cell.textContent)"
    (tmp_path / "none.png").write_bytes(b"no picture")
    with served(exported) as port:
        browser.open(f"http://127.0.0.1:{port}/")
        browser.run(READY)
        browser.run(f"window.changed = {change}; 0")
        browser.choose("#file", pictures[0])
        assert "answered in" in browser.run("window.changed")
        assert browser.run(row) == [best, "", share]
        browser.run(f"window.changed = {change}; document.querySelector('#samples button').click()")
        assert "the same class as in Python" in browser.run("window.changed")
        browser.run(f"window.changed = {change}; 0")
        browser.choose("#file", tmp_path / "none.png")
        assert browser.run("window.changed") == "none.png is no picture that this browser can read"


def test_the_second_visit_needs_no_server(exported: Path, tmp_path: Path) -> None:
    first = Chromium(tmp_path / "profile")
    try:
        with served(exported) as port:
            first.open(f"http://127.0.0.1:{port}/")
            first.run(READY)
            assert first.run(KEPT)
            said = logits(first, "samples/0.png")
    finally:
        first.close()
    again = Chromium(tmp_path / "profile")
    try:
        again.open(f"http://127.0.0.1:{port}/")
        again.run(READY)
        np.testing.assert_array_equal(logits(again, "samples/0.png"), said)
    finally:
        again.close()


def test_a_model_of_another_export_is_refused(exported: Path, browser: Chromium, tmp_path: Path) -> None:
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    for file in exported.rglob("*"):
        if file.is_file():
            (mixed / file.relative_to(exported)).parent.mkdir(parents=True, exist_ok=True)
            (mixed / file.relative_to(exported)).write_bytes(file.read_bytes())
    weights = bytearray((mixed / "model.onnx").read_bytes())
    weights[len(weights) // 2] ^= 1
    (mixed / "model.onnx").write_bytes(weights)
    with served(mixed) as port:
        browser.open(f"http://127.0.0.1:{port}/")
        with pytest.raises(AssertionError, match="model.onnx cannot be loaded .it may be of another export"):
            browser.run(READY)


@pytest.mark.parametrize("way", ["static-u8s8", "dynamic"])
def test_int8_answers_as_in_python(
    student: Path, pictures: list[Path], browser: Chromium, tmp_path: Path, way: Any
) -> None:
    rng = np.random.default_rng(0)
    rows = RealRows({"pixel_values": rng.standard_normal((70, 3, 24, 24)).astype(np.float32)}, np.zeros(70, np.int64))
    asked = Asked("web", tmp_path / "web", page=AskedPage(samples=tuple(pictures)))
    export_int8(read_candidate(student), asked, Facts(labels=LABELS), Int8(rows, rows, way, 0.0))
    with served(tmp_path / "web") as port:
        browser.open(f"http://127.0.0.1:{port}/")
        browser.run(READY)
        for sample in json.loads((tmp_path / "web" / "web.json").read_text())["page"]["samples"]:
            found = logits(browser, sample["file"])
            np.testing.assert_allclose(found, sample["logits"], rtol=0, atol=1e-3)
            assert found.argmax() == np.argmax(sample["logits"])
