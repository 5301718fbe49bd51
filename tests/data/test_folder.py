"""A folder of images as a source."""

import os
import pickle
from pathlib import Path

import pytest

from teachercache.data import DataError, Sample, Source, SourceSpec, check_ids, open_source


def source_of(root: Path, **settings: object) -> Source:
    return open_source(SourceSpec(kind="folder", path=str(root), **settings))


def samples_of(source: Source) -> list[Sample]:
    return [sample for shard in source.shards() for sample in source.read(shard)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """dog/00.png ... dog/29.png, cat/a.JPG, cat/sub/b.png, and what is no image."""
    files = [f"dog/{number:02d}.png" for number in range(30)] + ["cat/a.JPG", "cat/sub/b.png"]
    for name in [*files, "cat/notes.txt", ".hidden/x.png", "dog/.y.png"]:
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_bytes(name.encode())
    return tmp_path / "set"


def test_sub_folders_are_classes_in_sorted_order(root: Path) -> None:
    source = source_of(root)
    samples = {sample.id: sample for sample in samples_of(source)}
    assert source.classes == ("cat", "dog") and len(samples) == 32
    assert samples["cat/sub/b.png"].label == samples["cat/a.JPG"].label == 0 and samples["dog/07.png"].label == 1
    assert all(sample.image == sample.id.encode() for sample in samples.values())
    assert check_ids(source) == 32


def test_shards_hold_shard_size_images_and_the_last_the_rest(root: Path) -> None:
    source = source_of(root, shard_size=10)
    assert list(source.shards()) == ["part-00000", "part-00001", "part-00002", "part-00003"]
    assert [len(source.open(shard)) for shard in source.shards()] == [10, 10, 10, 2]
    opened = source.open("part-00001")
    assert [opened[index] for index in (3, 0)] == [list(source.read("part-00001"))[index] for index in (3, 0)]
    assert list(opened.ids) == [sample.id for sample in source.read("part-00001")]
    assert opened.labels.tolist() == [sample.label for sample in source.read("part-00001")]


def test_classes_are_mixed_within_a_shard(tmp_path: Path) -> None:
    for number in range(200):
        file = tmp_path / f"class{number // 100}" / f"{number}.png"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"x")
    source = source_of(tmp_path, shard_size=50)
    shares = [source.open(shard).labels.mean() for shard in source.shards()]
    assert all(0.25 < share < 0.75 for share in shares)


def test_order_depends_on_ids_alone(root: Path, tmp_path: Path) -> None:
    first = [sample.id for sample in samples_of(source_of(root))]
    os.rename(root, tmp_path / "moved")
    (tmp_path / "moved" / "dog" / "30.png").write_bytes(b"new")
    moved = [sample.id for sample in samples_of(source_of(tmp_path / "moved"))]
    assert [identity for identity in moved if identity != "dog/30.png"] == first


def test_flat_folder_is_unlabelled(tmp_path: Path) -> None:
    for name in ("b.png", "a.png"):
        (tmp_path / name).write_bytes(b"x")
    source = source_of(tmp_path)
    assert source.classes == () and {(sample.id, sample.label) for sample in samples_of(source)} == {
        ("a.png", None),
        ("b.png", None),
    }


def test_labels_are_left_out_when_none_are_wanted(root: Path) -> None:
    assert {sample.label for sample in samples_of(source_of(root, label=None))} == {None}


def test_listed_class_names_give_the_numbers(root: Path) -> None:
    source = source_of(root, classes=("dog", "bird", "cat"))
    assert source.classes == ("dog", "bird", "cat")
    assert {sample.id.split("/")[0]: sample.label for sample in samples_of(source)} == {"dog": 0, "cat": 2}


def test_display_names_follow_the_sorted_folders(root: Path) -> None:
    source = source_of(root, classes=("Katze", "Hund"))
    assert {sample.id.split("/")[0]: sample.label for sample in samples_of(source)} == {"cat": 0, "dog": 1}


@pytest.mark.parametrize("classes", [("dog", "Katze"), ("a", "b", "c")])
def test_class_names_that_do_not_fit_are_refused(classes: tuple[str, ...], root: Path) -> None:
    with pytest.raises(DataError, match="'cat' is not listed"):
        source_of(root, classes=classes)


def test_fingerprint_and_checksum_notice_a_change(root: Path, tmp_path: Path) -> None:
    source = source_of(root)
    first, checksum = source.fingerprint, source.open("part-00000").checksum()
    os.rename(root, tmp_path / "moved")
    moved = source_of(tmp_path / "moved")
    assert moved.fingerprint == first and moved.open("part-00000").checksum() == checksum
    (tmp_path / "moved" / "dog" / "03.png").write_bytes(b"DOG/03.PNG")
    assert source_of(tmp_path / "moved").fingerprint == first  # the same size: only the checksum reads the files
    assert moved.open("part-00000").checksum() != checksum
    (tmp_path / "moved" / "dog" / "03.png").unlink()
    assert source_of(tmp_path / "moved").fingerprint != first


def test_linked_folder_is_followed_and_a_circle_ends(root: Path, tmp_path: Path) -> None:
    os.rename(root / "dog", tmp_path / "dogs")
    (root / "dog").symlink_to(tmp_path / "dogs")
    (root / "cat" / "loop").symlink_to(root / "cat")
    assert len(samples_of(source_of(root))) == 32


def test_source_and_shard_survive_pickling(root: Path) -> None:
    source = source_of(root)
    opened = source.open("part-00000")
    assert samples_of(pickle.loads(pickle.dumps(source))) == samples_of(source)
    assert pickle.loads(pickle.dumps(opened))[3] == opened[3]


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none' is no folder"):
        source_of(tmp_path / "none")


def test_empty_folder_is_named_with_the_extensions(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError, match="holds no image \\(png, jpg, jpeg, webp\\)"):
        source_of(tmp_path)


def test_class_folder_without_an_image_is_named(root: Path) -> None:
    (root / "bird").mkdir()
    with pytest.raises(DataError, match="bird' holds no image"):
        source_of(root)


def test_images_beside_class_folders_are_refused(root: Path) -> None:
    (root / "stray.png").touch()
    with pytest.raises(DataError, match="'stray.png'.*and in folders.*Move them"):
        source_of(root)


def test_list_of_folders_is_refused(root: Path) -> None:
    with pytest.raises(DataError, match="one path and no list"):
        open_source(SourceSpec(kind="folder", path=(str(root), str(root))))


def test_dangling_link_is_named(root: Path) -> None:
    (root / "dog" / "gone.png").symlink_to("nowhere.png")
    with pytest.raises(DataError, match="gone.png.*cannot be listed"):
        source_of(root)


def test_unprintable_file_name_is_named(root: Path) -> None:
    (root / "dog" / "a\nb.png").touch()
    with pytest.raises(DataError, match="not plain UTF-8"):
        source_of(root)


@pytest.mark.parametrize("change", ["delete", "grow"])
def test_file_that_changed_since_it_was_listed_is_named(change: str, root: Path) -> None:
    source = source_of(root, shard_size=100)
    file = root / "dog" / "05.png"
    file.unlink() if change == "delete" else file.write_bytes(b"longer than it was before")
    with pytest.raises(DataError, match="sample 'dog/05.png' of shard 'part-00000'"):
        list(source.read("part-00000"))


def test_unknown_shard_is_named(root: Path) -> None:
    with pytest.raises(DataError, match="no shard 'part-00007'"):
        source_of(root).open("part-00007")


@pytest.mark.parametrize("index", [-1, 32])
def test_index_beyond_the_shard_is_an_index_error(index: int, root: Path) -> None:
    with pytest.raises(IndexError, match="has 32 samples"):
        source_of(root).open("part-00000")[index]
