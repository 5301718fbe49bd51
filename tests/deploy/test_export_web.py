"""The page of an export, but for the browser: what lies in its folder, where its runtime comes from, what is refused.

A browser runs it in test_browser.py.
"""

import base64
import hashlib
import http.server
import io
import json
import re
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from asked_models import save_clip, write_onnx
from PIL import Image, __version__

from teachercache.stages.deploy.export.web.download import PINNED, Release, released_tarball
from teachercache.stages.deploy.export.web.page import Page, write_web
from teachercache.stages.deploy.export.web.runtime import FILES, open_runtime
from teachercache.stages.deploy.export.web.samples import read_samples
from teachercache.stages.deploy.predict import open_predictor
from teachercache.stages.deploy.predict.reading import ImageReading
from teachercache.stages.errors import StageError

pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")
SITE = Path(__file__).resolve().parents[2] / "stages" / "deploy" / "export" / "web" / "site"
WEIGHT = np.random.default_rng(0).normal(size=(16, 3)).astype(np.float32)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """An unpacked npm package with the names of onnxruntime-web's, and nothing that runs."""
    folder = tmp_path / "package"
    (folder / "dist").mkdir(parents=True)
    (folder / "package.json").write_text(json.dumps({"name": "onnxruntime-web", "version": "9.9.9"}))
    for name in FILES:
        (folder / name).write_bytes(name.encode())
    return folder


@pytest.fixture
def page(package: Path, tmp_path: Path) -> Path:
    """The page of a classifier of 4 x 4 pixels, with two samples."""
    folder = write_onnx(tmp_path / "web", WEIGHT)
    rng, paths = np.random.default_rng(1), [tmp_path / "a.png", tmp_path / "b.webp"]
    for path, shape in zip(paths, [(4, 4), (9, 6, 4)], strict=True):
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(path, lossless=True)
    page = Page(open_runtime(package), [path.name for path in paths], read_samples(paths, 1))
    exported, steps = (json.loads((folder / f"{name}.json").read_text()) for name in ("export", "preprocessing"))
    write_web(folder, page, exported, steps, ["ant", "bee", "cat"])
    return folder


def digest(file: Path) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(file.read_bytes()).digest()).decode()


def test_every_file_is_listed_with_its_hash(page: Path) -> None:
    about = json.loads((page / "web.json").read_text())
    own = {"export.json", "preprocessing.json", "labels.json", "web.json", "offline.js"}  # all but the page's
    files = {str(file.relative_to(page)): digest(file) for file in page.rglob("*") if file.is_file()}
    assert about["page"]["files"] == {name: files[name] for name in files.keys() - own}
    assert {"index.html", "model.onnx", "samples/1.png", "ort/ort.wasm.min.mjs"} <= about["page"]["files"].keys()
    assert about["page"]["runtime"] == "onnxruntime-web 9.9.9" and about["labels"] == ["ant", "bee", "cat"]
    (kept,) = re.findall(r"^const FILES = (\{.*?\n\});$", (page / "offline.js").read_text(), re.DOTALL | re.MULTILINE)
    assert json.loads(kept) == {**about["page"]["files"], "web.json": files["web.json"]}


def test_nothing_of_the_page_lies_elsewhere(page: Path) -> None:
    written = [file for file in page.iterdir() if file.suffix in (".html", ".js", ".css")]
    assert {file.name for file in SITE.iterdir()} == {file.name for file in written}
    for file in written:
        text = file.read_text()
        assert "://" not in text and "url(" not in text
        named = re.findall(r'(?:src|href)="([^"]*)"|from "([^"]*)"', text)
        assert [name for name in map("".join, named) if name != "data:," and not (page / name).is_file()] == []
    assert "default-src 'self'" in (page / "index.html").read_text()


def test_samples_are_the_pixels_of_training_with_what_python_says_of_them(page: Path, tmp_path: Path) -> None:
    samples = json.loads((page / "web.json").read_text())["page"]["samples"]
    assert [sample["name"] for sample in samples] == ["a.png", "b.webp"]
    for sample, path in zip(samples, [tmp_path / "a.png", tmp_path / "b.webp"], strict=True):
        np.testing.assert_allclose(sample["logits"], open_predictor(page).predict(path)["logits"], rtol=1e-6)
        with Image.open(page / sample["file"]) as picture:
            assert picture.mode == "L"


def test_another_model_is_another_worker(page: Path, package: Path, tmp_path: Path) -> None:
    other = write_onnx(tmp_path / "other", WEIGHT + 1)
    exported, steps = (json.loads((other / f"{name}.json").read_text()) for name in ("export", "preprocessing"))
    write_web(other, Page(open_runtime(package), [], []), exported, steps, None)
    versions = [(folder / "offline.js").read_text().splitlines()[0] for folder in (page, other)]
    assert versions[0].startswith('const VERSION = "') and versions[0] != versions[1]


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node here")
def test_the_page_prepares_pictures_number_for_number_as_python(tmp_path: Path) -> None:
    """From wide, tall, small and transparent pixels; an older Pillow rounds tall ones otherwise, by a level."""
    for name in ("pixels.js", "resample.js"):
        shutil.copy(SITE / name, tmp_path / name)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "main.js").write_text(
        'import { readFileSync } from "node:fs"; import { prepare } from "./pixels.js";\n'
        "const said = JSON.parse(readFileSync(0)).map(({ data, settings, ...image }) =>\n"
        "  Array.from(prepare({ ...image, data: Uint8Array.from(data) }, settings)));\n"
        "console.log(JSON.stringify(said));\n"
    )
    cases, wanted, rng = [], [], np.random.default_rng(0)
    forms = [(16, 16, 16), (37, 23, 16), (23, 37, 24), (5, 90, 16), (301, 16, 10), (17, 16, 40), (9, 9, 16)]
    for number, (width, height, size) in enumerate(forms):
        pixels, channels = rng.integers(0, 256, (height, width, 4), dtype=np.uint8), 3 if number % 2 else 1
        mean, std = [0.485, 0.4, 0.3][:channels], [0.229]
        settings = {"channels": channels, "view": 16, "size": size, "mean": mean, "std": std}
        cases.append({"data": pixels.ravel().tolist(), "width": width, "height": height, "settings": settings})
        wanted.append(ImageReading(16, channels, size, mean, std).read("x", Image.fromarray(pixels))["x"])
    done = subprocess.run(
        ["node", "main.js"], cwd=tmp_path, input=json.dumps(cases), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    level = 0 if int(__version__.split(".")[0]) >= 13 else 1.01 / 255 / 0.229
    for found, want in zip(json.loads(done.stdout), wanted, strict=True):
        np.testing.assert_allclose(np.reshape(found, want.shape), want, rtol=0, atol=level + 1e-6)


@contextmanager
def registry(folder: Path) -> Iterator[str]:
    """A registry on loopback that holds the files of a folder, by their names alone."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # noqa: N802
            data = (folder / self.path.rpartition("/")[2]).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


def test_the_release_is_fetched_once_and_held_against_its_hash(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf, kept = tmp_path / "shelf", tmp_path / "kept"
    shelf.mkdir()
    with tarfile.open(shelf / "onnxruntime-web-9.9.9.tgz", "w:gz") as tar:
        tar.add(package, "package")
    data = (shelf / "onnxruntime-web-9.9.9.tgz").read_bytes()
    release = Release("9.9.9", "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode())
    with registry(shelf) as url:
        monkeypatch.setenv("npm_config_registry", url)
        monkeypatch.setenv("no_proxy", "*")
        assert released_tarball(release, kept) == data
        (kept / release.file).write_bytes(data[:-1])  # damaged since: fetched again
        assert released_tarball(release, kept) == data
        with pytest.raises(StageError, match="its hash is not that of onnxruntime-web 9.9.9, so it is not used"):
            released_tarball(Release("9.9.9", PINNED.integrity), tmp_path / "empty")
    assert released_tarball(release, kept) == data  # and the registry is gone
    assert [file.name for file in kept.iterdir()] == [release.file] and not (tmp_path / "empty").exists()
    with pytest.raises(StageError, match=r"cannot be fetched .* `npm pack onnxruntime-web@9.9.9` fetches it"):
        released_tarball(release, tmp_path / "empty")


def test_a_runtime_that_is_none_is_refused(package: Path, tmp_path: Path) -> None:
    runtime = open_runtime(package)
    assert runtime.files["ort/ort.wasm.min.mjs"] == b"dist/ort.wasm.min.mjs"
    (package / FILES[-1]).unlink()
    with pytest.raises(StageError, match="is no npm package onnxruntime-web .*simd-threaded.wasm"):
        open_runtime(package)
    (package / "package.json").write_text('{"name": "left-pad", "version": "1.0.0"}')
    with pytest.raises(StageError, match="is the npm package left-pad, and a page needs onnxruntime-web"):
        open_runtime(package)
    (tmp_path / "other.tgz").write_bytes(io.BytesIO(b"no tarball").getvalue())
    with pytest.raises(StageError, match="other.tgz is not onnxruntime-web 1.30.0 as npm packs it"):
        open_runtime(tmp_path / "other.tgz")
    with pytest.raises(StageError, match="nowhere.tgz cannot be read"):
        open_runtime(tmp_path / "nowhere.tgz")


def test_what_has_no_page_is_refused_before_anything_is_made(
    run: Callable[..., str], save: Callable[..., Path], package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    student, clip = save(tmp_path / "students"), save_clip(tmp_path / "clip")
    web = ("--to", "web", "--out", tmp_path / "out")
    said = run("export", clip, *web, "--runtime", package, code=2)
    assert "image and text are two towers, as of CLIP" in said and "--no-page writes its graphs" in said
    said = run("export", student, *web, "--runtime", package, "--outputs", "embedding", code=2)
    assert "of this one it says embedding (1, 8)" in said
    said = run("export", student, *web, "--runtime", package, "--sample", package / "package.json", code=2)
    assert "package.json: its" in said and "are none of PNG" in said
    said = run("export", student, "--to", "onnx", "--runtime", package, code=2)
    assert "--runtime and --sample are of the page that --to web makes" in said
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9/")
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    said = run("export", student, *web, code=2)
    assert "cannot be fetched" in said and "npm pack onnxruntime-web@1.30.0" in said
    assert not (tmp_path / "out").exists()
