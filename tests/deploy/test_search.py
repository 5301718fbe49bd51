"""Search finds what was put in, goes on where it was killed, follows the folder, and refuses strangers."""

import http.client
import io
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asked_models import save_clip
from PIL import Image

from teachercache.data import SourceSpec, open_source
from teachercache.stages.deploy.apps.search import index as index_module
from teachercache.stages.deploy.apps.search.index import SearchIndex, unit, update_index
from teachercache.stages.deploy.apps.search.nearest import Nearest
from teachercache.stages.deploy.apps.search.page import search_server
from teachercache.stages.deploy.apps.search.segments import Segment, compact, read_segments, write_segment
from teachercache.stages.errors import StageError

EMOJI = Path(__file__).resolve().parents[2] / "data" / "samples" / "emoji" / "seen-0000.tar"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def emoji() -> dict[str, bytes]:
    """Forty shipped pictures by name."""
    source = open_source(SourceSpec(path=str(EMOJI)))
    found = {sample.id: sample.image for sample in source.read(source.shards()[0])}
    return dict(list(found.items())[:40])


@pytest.fixture
def folder(tmp_path: Path, emoji: dict[str, bytes]) -> Path:
    for name, data in emoji.items():
        path = tmp_path / "pictures" / name[0] / f"{name.replace('/', '-')}.webp"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "pictures"


def test_a_picture_finds_itself_and_a_name_finds_its_picture(folder: Path, clip: Path, tmp_path: Path) -> None:
    done = update_index(tmp_path / "index", folder, clip)
    assert (done.added, done.removed, done.total, done.skipped) == (40, 0, 40, ())
    index = SearchIndex(tmp_path / "index")
    files = sorted(folder.rglob("*.webp"))
    for path in files[:3]:
        (hit, *_) = index.by_image(path, 3)
        assert hit.path == path.resolve() and hit.cosine == pytest.approx(1, abs=1e-4)
    right = 0
    for path in files:  # a key is split-concept-style
        concept = " ".join(path.stem.split("-")[1:-1])
        try:
            right += path.resolve() in [hit.path for hit in index.by_text(concept, 5)]
        except StageError:  # its name has more tokens than the model reads
            continue
    assert right > 20  # 5 of 40 by chance would be right for 5


def test_it_follows_the_folder_and_looks_at_nothing_twice(folder: Path, clip: Path, tmp_path: Path) -> None:
    index, files = tmp_path / "index", sorted(folder.rglob("*.webp"))
    update_index(index, folder, clip)
    assert update_index(index, folder, clip).added == 0
    gone, changed = files[0].resolve(), files[1].resolve()
    gone.unlink()
    changed.write_bytes(files[2].read_bytes())
    Image.new("RGB", (40, 40), "red").save(folder / "new.png")
    (folder / "broken.png").write_bytes(b"no picture")
    done = update_index(index, folder, clip)
    assert (done.added, done.removed, done.total) == (2, 1, 40)
    assert "broken.png: its 10 bytes are none of PNG" in done.skipped[0]
    found = SearchIndex(index).by_image(changed, 40)
    assert gone not in [hit.path for hit in found] and {changed, files[2].resolve()} == {h.path for h in found[:2]}


def test_a_killed_index_goes_on(folder: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "_BATCH", 16)

    def killed(done: int, total: int) -> None:
        if done >= 32:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        update_index(tmp_path / "index", folder, clip, killed)
    assert update_index(tmp_path / "index", folder, clip).added == 8
    assert len(SearchIndex(tmp_path / "index")) == 40


def test_a_compacted_index_says_the_same_even_when_it_is_killed_before_it_cleans_up(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(6):
        paths, stamps = np.array([f"{number}", f"x{number % 2}"]), np.full((2, 2), number)
        gone = np.array(["1"] if number == 3 else [], np.str_)
        write_segment(tmp_path, Segment(unit(rng.normal(size=(2, 4))), paths, stamps, gone))
    before = read_segments(tmp_path)
    kept = {path: path.read_bytes() for path in tmp_path.iterdir()}
    compact(tmp_path, most=3)
    assert len(list(tmp_path.iterdir())) == 1
    for path, data in list(kept.items())[3:]:  # files that a killed clean-up has left
        path.write_bytes(data)
    after = read_segments(tmp_path)
    assert after.paths.tolist() == before.paths.tolist() and "1" not in after.paths
    np.testing.assert_array_equal(after.vectors, before.vectors)


def test_the_graph_finds_what_the_exact_search_finds(tmp_path: Path) -> None:
    pytest.importorskip("usearch")
    vectors = unit(np.random.default_rng(0).normal(size=(500, 16)))
    exact, graph = Nearest(vectors, tmp_path / "g"), Nearest(vectors, tmp_path / "graph.usearch", exact_below=1)
    again = Nearest(vectors, tmp_path / "graph.usearch", exact_below=1)
    shared = [len(set(exact.find(v, 10)[0]) & set(graph.find(v, 10)[0])) for v in vectors[:50]]
    assert np.mean(shared) > 9.5
    assert all((graph.find(v, 10)[0] == again.find(v, 10)[0]).all() for v in vectors[:5])


def test_another_student_and_a_broken_index_are_refused(folder: Path, clip: Path, tmp_path: Path, save: Any) -> None:
    index = tmp_path / "index"
    with pytest.raises(StageError, match="needs a student of two towers"):
        update_index(index, folder, save(tmp_path / "students"))
    update_index(index, folder, clip)
    with pytest.raises(StageError, match="is another student than"):
        SearchIndex(index, save(tmp_path / "others"))
    next(index.glob("segment-*.npz")).write_bytes(b"broken")
    with pytest.raises(StageError, match="cannot be read"):
        SearchIndex(index)
    with pytest.raises(StageError, match="is no index"):
        SearchIndex(tmp_path)


@pytest.fixture
def connection(folder: Path, clip: Path, tmp_path: Path) -> Iterator[http.client.HTTPConnection]:
    update_index(tmp_path / "index", folder, clip)
    with search_server(SearchIndex(tmp_path / "index"), "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        client = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=30)
        yield client
        client.close()
        server.shutdown()
        thread.join()


def test_the_page_answers_and_refuses(connection: http.client.HTTPConnection, emoji: dict[str, bytes]) -> None:
    def ask(method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.read()

    assert ask("GET", "/")[1].startswith(b"<!doctype html>")
    status, found = ask("GET", "/search?q=red+apple&top=3")
    assert status == 200 and len(json.loads(found)) == 3
    (first, *_) = json.loads(ask("POST", "/search?top=1", next(iter(emoji.values())))[1])
    assert first["cosine"] > 0.999
    thumbnail = ask("GET", f"/thumbnail?n={first['number']}")[1]
    assert Image.open(io.BytesIO(thumbnail)).format == "JPEG"
    for method, path, body, status in (
        ("GET", "/nowhere", None, 404),
        ("GET", "/search?q=", None, 400),
        ("GET", "/search?q=a&top=9999", None, 400),
        ("GET", "/thumbnail?n=99999", None, 400),
        ("GET", "/thumbnail?n=../../etc/passwd", None, 400),
        ("POST", "/search", b"no picture", 400),
    ):
        assert ask(method, path, body)[0] == status, path
    assert ask("POST", "/search", None, **{"Content-Length": "99000000"})[0] == 413
    assert ask("GET", "/", None, Host="elsewhere.example")[0] == 403


def test_search_from_the_command_line(run: Callable[..., str], folder: Path, clip: Path, tmp_path: Path) -> None:
    index = tmp_path / "index"
    assert "40 pictures, 40 added" in run("search", "index", folder, "--model", clip, "--into", index)
    path = next(folder.rglob("*.webp"))
    (found,) = json.loads(run("search", "query", index, "--image", path, "--top", 1, "--json"))
    assert found["path"] == str(path.resolve())
    assert "one of them" in run("search", "query", index, code=2)
