"""Globs, braces and lists, and the names that shards get."""

from pathlib import Path

import pytest

from teachercache.data import DataError, SourceSpec, open_source
from teachercache.data.names import shard_names
from teachercache.data.tar_files import tar_files


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("a/train-0000.tar", "a/train-0001.tar", "a/test-0000.tar", "b/c/train-0000.tar", "b/x[1].tar"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        ("a/train-*.tar", ["a/train-0000.tar", "a/train-0001.tar"]),
        ("a/train-{0000..0001}.tar", ["a/train-0000.tar", "a/train-0001.tar"]),
        ("a/{train,test}-0000.tar", ["a/test-0000.tar", "a/train-0000.tar"]),
        ("**/train-0000.tar", ["a/train-0000.tar", "b/c/train-0000.tar"]),
        ("b/x[1].tar", ["b/x[1].tar"]),
        (
            ("b/*/*.tar", "a/t*-0000.tar", "a/train-0000.tar"),
            ["a/test-0000.tar", "a/train-0000.tar", "b/c/train-0000.tar"],
        ),
    ],
)
def test_patterns_give_each_file_once_sorted(
    patterns: str | tuple[str, ...], expected: list[str], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    assert [file.relative_to(root).as_posix() for file in tar_files(patterns)] == expected


@pytest.mark.parametrize(
    ("patterns", "reason"),
    [
        ("a/none-*.tar", "no file matches 'a/none-\\*.tar'"),
        ("a/train-{0000..0002}.tar", "no file matches 'a/train-0002.tar'"),
        (("a/*.tar", "d/*.tar"), "no file matches 'd/\\*.tar'"),
        ("a/train-{0000.tar", "brace without its partner"),
        ("a", "is a folder. Write 'a/\\*.tar'"),
        ("https://example.org/a.tar", "no local path"),
        ((), "empty list"),
    ],
)
def test_pattern_that_means_no_file_is_named(
    patterns: str | tuple[str, ...], reason: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    with pytest.raises(DataError, match=reason):
        tar_files(patterns)


@pytest.mark.parametrize("name", ["z.tar.gz", "z.tgz", "z.tar.zst"])
def test_compressed_file_is_refused_when_it_is_listed(name: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    with pytest.raises(DataError, match="compressed.*Decompress it"):
        open_source(SourceSpec(path=f"{tmp_path}/z.*"))


def test_shard_is_named_as_its_file() -> None:
    assert shard_names([Path("/d/train-0000.tar"), Path("/d/train.v2.TAR")]) == ("train-0000", "train.v2")


def test_files_of_one_name_get_their_folders_into_the_name() -> None:
    files = [Path("/d/day1/s-0.tar"), Path("/d/day2/s-0.tar"), Path("/d/day2/s-1.tar")]
    assert shard_names(files) == ("day1--s-0", "day2--s-0", "day2--s-1")


@pytest.mark.parametrize(
    ("file", "name"), [("a b#ü.tar", "a_b__"), (".hidden.tar", "shard.hidden"), ("__x.tar", "shard__x")]
)
def test_name_is_safe_as_a_folder(file: str, name: str) -> None:
    assert shard_names([Path("/d") / file]) == (name,)


@pytest.mark.parametrize("other", ["a#b.tar", "A_B.tar"])
def test_names_that_stay_equal_are_refused_with_both_files(other: str) -> None:
    with pytest.raises(DataError, match="/d/a b.tar and /d/.* rename"):
        shard_names([Path("/d/a b.tar"), Path("/d") / other])
