"""Tar shards as a source: the samples that the webdataset library reads, by index, from any thread or process."""

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
import webdataset
import xxhash
from webdataset.tariterators import group_by_keys, tar_file_expander

from teachercache.data import DataError, Sample, Source, SourceSpec, check_ids, decode, open_source
from teachercache.data.tar_catalogue import catalogue


def source_of(path: Path | str, **settings: object) -> Source:
    return open_source(SourceSpec(path=str(path), **settings))


def read_by_webdataset(path: Path) -> list[dict[str, object]]:
    """Through the parts of its pipeline: the whole leaves the closing of files to chance, which warns."""
    with path.open("rb") as stream, closing(tar_file_expander([{"url": str(path), "stream": stream}])) as members:
        return list(group_by_keys(members))


def test_samples_are_those_that_webdataset_reads(tmp_path: Path, write_tar: Callable) -> None:
    members = [
        ("./a.b/1.JPG", b"one"),
        ("./a.b/1.cls", b"7\n"),
        ("./a.b/1.txt", b"?"),
        ("2.png", b"two"),
        ("2.cls", b"0"),
    ]
    members += [("n/3.x.png", b"mask"), ("n/3.webp", b"three"), ("n/4.png", b"four")]
    path = write_tar(tmp_path / "s.tar", members)
    ours = list(source_of(path).read("s"))
    theirs = read_by_webdataset(path)
    assert [sample.id for sample in ours] == [sample["__key__"] for sample in theirs]
    assert [sample.image for sample in ours] == [s.get("png") or s.get("jpg") or s.get("webp") for s in theirs]
    assert [sample.label for sample in ours] == [int(s["cls"]) if "cls" in s else None for s in theirs]


def test_what_webdataset_writes_is_read(tmp_path: Path) -> None:
    with webdataset.TarWriter(str(tmp_path / "w.tar")) as writer:
        for number in range(3):
            writer.write({"__key__": f"k{number}", "png": bytes([number]), "cls": number})
    samples = list(source_of(tmp_path / "w.tar").read("w"))
    assert samples == [Sample(f"k{number}", "w", bytes([number]), number) for number in range(3)]


def test_random_access_equals_reading_in_order(shard: Path) -> None:
    source = source_of(shard)
    opened, in_order = source.open("train-0000"), list(source.read("train-0000"))
    assert [opened[index] for index in (7, 0, 9, 7, 3)] == [in_order[index] for index in (7, 0, 9, 7, 3)]
    assert list(opened.ids) == [sample.id for sample in in_order]
    assert opened.labels.tolist() == [sample.label for sample in in_order]
    assert len(opened) == 10 and [decode(sample, 1).shape for sample in in_order] == [(8, 8, 1)] * 10


@pytest.mark.parametrize("index", [-1, 10])
def test_index_beyond_the_shard_is_an_index_error(index: int, shard: Path) -> None:
    with pytest.raises(IndexError, match="has 10 samples"):
        source_of(shard).open("train-0000")[index]


def test_shard_read_twice_gives_the_same_samples(shard: Path) -> None:
    source = source_of(shard)
    assert list(source.read("train-0000")) == list(source.read("train-0000"))


def test_threads_read_what_one_thread_reads(shard: Path) -> None:
    opened = source_of(shard).open("train-0000")
    expected = [opened[index] for index in range(10)]
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(opened.__getitem__, [index % 10 for index in range(2000)]))
    assert read == expected * 200


def test_forked_processes_read_what_their_parent_reads(shard: Path) -> None:
    opened = source_of(shard).open("train-0000")
    expected = [opened[index] for index in range(10)]
    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            # No exception may leave the child: pytest would run on in it.
            same = all([opened[index] for index in range(10)] == expected for _ in range(200))
            os._exit(0 if same else 1)
        children.append(child)
    assert all([opened[index] for index in range(10)] == expected for _ in range(200))
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0, 0]


def test_source_and_shard_survive_pickling(shard: Path) -> None:
    source = source_of(shard)
    opened = source.open("train-0000")
    assert list(pickle.loads(pickle.dumps(source)).read("train-0000")) == list(source.read("train-0000"))
    assert pickle.loads(pickle.dumps(opened))[4] == opened[4]


def test_file_is_closed_with_its_shard(shard: Path) -> None:
    source = source_of(shard)
    before = os.listdir("/proc/self/fd")
    opened = source.open("train-0000")
    assert len(os.listdir("/proc/self/fd")) == len(before) + 1
    del opened
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_index_is_kept_and_made_again_when_the_file_changes(shard: Path, write_tar: Callable) -> None:
    source = source_of(shard)
    source.open("train-0000")
    hits = catalogue.cache_info().hits
    source.open("train-0000")
    assert catalogue.cache_info().hits == hits + 1
    write_tar(shard, [("new.png", b"x")])
    assert list(source.open("train-0000").ids) == ["new"]
    assert catalogue.cache_info().maxsize is not None


def test_checksum_is_that_of_the_file(shard: Path) -> None:
    assert source_of(shard).open("train-0000").checksum() == xxhash.xxh3_128_hexdigest(shard.read_bytes())


def test_fingerprint_follows_listing_and_fields_and_not_the_place(shard: Path, tmp_path: Path) -> None:
    first = source_of(shard).fingerprint
    moved = tmp_path / "elsewhere" / shard.name
    moved.parent.mkdir()
    moved.write_bytes(shard.read_bytes())
    assert source_of(moved).fingerprint == first
    assert source_of(moved, label=None).fingerprint != first
    moved.write_bytes(shard.read_bytes() + bytes(10240))
    assert source_of(moved).fingerprint != first
    moved.with_name("train-0001.tar").write_bytes(shard.read_bytes())
    assert source_of(moved.parent / "*.tar").fingerprint["shards"] == 2


def test_image_extensions_are_tried_in_order(tmp_path: Path, write_tar: Callable) -> None:
    path = write_tar(tmp_path / "s.tar", [("1.jpg", b"jpg"), ("1.png", b"png")])
    assert source_of(path, image=("JPG", "png"), label=None).open("s")[0].image == b"jpg"
    assert source_of(path, image=(".png", "jpg"), label=None).open("s")[0].image == b"png"


def test_images_alone_are_unlabelled(tmp_path: Path, write_tar: Callable) -> None:
    opened = source_of(write_tar(tmp_path / "s.tar", [("1.png", b"x"), ("2.png", b"x")])).open("s")
    assert opened.labels.tolist() == [-1, -1] and opened[0].label is None


def test_labels_are_not_read_when_none_are_wanted(tmp_path: Path, write_tar: Callable) -> None:
    path = write_tar(tmp_path / "s.tar", [("1.png", b"x"), ("1.cls", b"cat")])
    assert source_of(path, label=None).open("s").labels.tolist() == [-1]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"cat", "is b'cat' and no integer"),
        (b"", "no integer"),
        (b"1.0", "no integer"),
        (b"1_0", "no integer"),
        ("٣".encode(), "no integer"),
        (b"1" * 19, "no integer"),
        (b" " * 100, "no integer"),
        (b"-1", "is -1, and class numbers start at 0"),
    ],
)
def test_label_that_is_no_class_number_is_named(text: bytes, reason: str, tmp_path: Path, write_tar: Callable) -> None:
    path = write_tar(tmp_path / "s.tar", [("ok.png", b"x"), ("ok.cls", b"1"), ("bad.png", b"x"), ("bad.cls", text)])
    with pytest.raises(DataError, match=f"s.tar.*sample 'bad' {reason}".replace("sample 'bad'", "sample 'bad'.*")):
        source_of(path).open("s")


def test_label_beyond_the_named_classes_is_named(shard: Path) -> None:
    with pytest.raises(DataError, match="'0003' is 3, and source.classes names 3 classes, 0 to 2"):
        source_of(shard, classes=("a", "b", "c")).open("train-0000")


def test_sample_without_an_image_is_named_with_its_fields(tmp_path: Path, write_tar: Callable) -> None:
    path = write_tar(tmp_path / "s.tar", [("1.png", b"x"), ("2.tiff", b"x"), ("2.cls", b"1")])
    with pytest.raises(DataError, match="sample '2' has no image: source.image is png, jpg.*holds cls, tiff"):
        source_of(path).open("s")


def test_label_field_that_no_sample_has_is_named_with_those_there_are(shard: Path) -> None:
    with pytest.raises(DataError, match="no sample has the field 'class'.*are cls"):
        source_of(shard, label="class").open("train-0000")


def test_unknown_shard_is_named(shard: Path) -> None:
    with pytest.raises(DataError, match="no shard 'train-0009'"):
        source_of(shard).open("train-0009")


def test_shard_that_vanished_is_named(shard: Path) -> None:
    source = source_of(shard)
    shard.unlink()
    with pytest.raises(DataError, match="train-0000.*cannot be opened"):
        source.open("train-0000")


def test_shard_cut_while_it_is_read_is_named(shard: Path) -> None:
    opened = source_of(shard).open("train-0000")
    os.truncate(shard, 4096)
    assert opened[0].id == "0000"
    with pytest.raises(DataError, match="sample '0009' ends too early"):
        opened[9]


def test_id_in_two_shards_is_found_with_both(shard: Path, write_tar: Callable) -> None:
    write_tar(shard.with_name("train-0001.tar"), [("0003.png", b"x")])
    with pytest.raises(DataError, match="'0003' is in shard 'train-0000' and again in shard 'train-0001'"):
        check_ids(source_of(shard.parent / "*.tar"))


def test_check_of_ids_counts_samples(shard: Path, write_tar: Callable) -> None:
    write_tar(shard.with_name("train-0001.tar"), [("other.png", b"x")])
    assert check_ids(source_of(shard.parent / "*.tar")) == 11


def test_image_that_cannot_be_decoded_names_shard_and_sample(tmp_path: Path, write_tar: Callable) -> None:
    path = write_tar(tmp_path / "s.tar", [("1.png", b"no image at all")])
    with pytest.raises(DataError, match="sample '1' of shard 's'"):
        decode(source_of(path).open("s")[0], 3)


def test_more_shards_than_a_process_may_open_are_read_at_random(tmp_path: Path, write_tar: Callable) -> None:
    """In an interpreter of its own, because the limit holds for the whole process."""
    for number in range(60):
        write_tar(tmp_path / f"train-{number:02d}.tar", [(f"{number}.png", str(number).encode())])
    code = (
        "import random, resource, sys\n"
        "from teachercache.data import SourceSpec, open_source\n"
        "source = open_source(SourceSpec(path=sys.argv[1]))\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (48, 48))\n"
        "shards = [source.open(name) for name in source.shards()]\n"
        "for turn in range(200):\n"
        "    number = random.randrange(60)\n"
        "    assert shards[number][0].image == str(number).encode()\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "*.tar")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
