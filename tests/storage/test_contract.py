"""What holds for a cache's files wherever they lie: in a folder, in an S3 server, in a file system of fsspec."""

from pathlib import Path
from uuid import uuid4

import pytest

from teachercache.cache.errors import CacheError
from teachercache.cache.storage.address import open_store, sibling
from teachercache.cache.storage.store import Store


@pytest.fixture(params=["folder", "s3", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A store without files."""
    if request.param == "folder":
        return open_store(tmp_path / "store")
    request.getfixturevalue("mirror")
    if request.param == "s3":
        return open_store(request.getfixturevalue("address"))
    return open_store(f"memory://{uuid4().hex}/some/where")


def staged(store: Store, folder: str, **files: bytes) -> None:
    """Stage and commit files, one level deep each."""
    path = store.stage(folder)
    for name, data in files.items():
        (path / name).mkdir()
        (path / name / "0").write_bytes(data)
    store.commit(folder)


def test_only_the_first_publishes(store: Store) -> None:
    assert store.publish("receipts/a.json", b"first")
    assert not store.publish("receipts/a.json", b"second")
    assert store.read("receipts/a.json") == b"first"
    store.replace("receipts/a.json", b"third")
    assert store.read("receipts/a.json") == b"third"


def test_a_missing_file_is_said_to_be_missing(store: Store) -> None:
    for read in (store.read, lambda name: store.open(name).read(), lambda name: list(store.pieces(name))):
        with pytest.raises(FileNotFoundError) as caught:
            read("receipts/none.json")
        assert caught.value.strerror


def test_files_are_listed_with_bytes_and_a_version_that_changes(store: Store) -> None:
    assert store.entries("receipts") == [] and list(store.tree("receipts")) == []
    for name, data in (("receipts/b.json", b"12"), ("receipts/a.json", b"1"), ("receipts/old/c.json", b"123")):
        store.publish(name, data)
    first = store.entries("receipts")
    assert [(entry.name, entry.bytes) for entry in first] == [("a.json", 1), ("b.json", 2)]
    store.replace("receipts/a.json", b"2")
    second = store.entries("receipts")
    assert second[0].version != first[0].version and second[1] == first[1]
    assert {(file.name, file.bytes) for file in store.tree("receipts")} == {
        ("receipts/a.json", 1),
        ("receipts/b.json", 2),
        ("receipts/old/c.json", 3),
    }
    assert {file.name for file in store.tree("")} == {file.name for file in store.tree("receipts")}
    assert all(abs(file.modified - 1.7e9) < 1e9 for file in store.tree(""))


def test_what_is_committed_is_there_and_what_is_removed_is_not(store: Store) -> None:
    staged(store, "shards/a.1", c=b"some bytes", d=b"")
    staged(store, "shards/a.12", c=b"others")  # whose name begins with the other's
    with store.open("shards/a.1/c/0") as file:
        assert file.read() == store.local("shards/a.1/c/0").read_bytes() == b"some bytes"
    assert b"".join(store.pieces("shards/a.1/c/0")) == b"some bytes" and list(store.pieces("shards/a.1/d/0")) == []
    store.remove(["shards/a.1", "shards/none", "rows/none.arrow"])
    assert [file.name for file in store.tree("shards")] == ["shards/a.12/c/0"]
    with pytest.raises(FileNotFoundError):
        store.open("shards/a.1/c/0")


def test_what_is_staged_and_removed_never_was(store: Store) -> None:
    (store.stage("shards/a.1") / "file").write_bytes(b"1")
    store.remove(["shards/a.1"])
    assert sum(file.bytes for file in store.tree("")) == 0 and store.entries("shards") == []


def test_a_file_moves(store: Store) -> None:
    store.publish("receipts/a.json", b"1")
    store.move("receipts/a.json", "receipts/damaged/a.json")
    assert [file.name for file in store.tree("")] == ["receipts/damaged/a.json"]
    assert store.read("receipts/damaged/a.json") == b"1"


def test_a_store_below_is_the_same_files(store: Store) -> None:
    below = store.below("extensions/001")
    below.publish("manifest.json", b"1")
    assert store.read("extensions/001/manifest.json") == b"1" and below.url == f"{store.url}/extensions/001"
    assert [entry.name for entry in below.entries("")] == ["manifest.json"]


def test_an_address_that_became_a_path_is_refused() -> None:
    with pytest.raises(CacheError, match="give it as text"):
        open_store(Path("s3://bucket/prefix"))


def test_the_address_of_a_sibling() -> None:
    assert sibling("s3://bucket/a/cache/", "-held-out") == "s3://bucket/a/cache-held-out"
    assert sibling(Path("runs/cache"), "-held-out") == Path("runs/cache-held-out")


def test_a_file_address_is_a_folder(tmp_path: Path) -> None:
    open_store(f"file://{tmp_path}/store").publish("a", b"1")
    assert (tmp_path / "store" / "a").read_bytes() == b"1"
