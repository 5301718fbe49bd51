"""The index of a tar shard: webdataset's grouping, exact byte ranges, and no damaged shard read as a shorter one."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from teachercache.data import DataError
from teachercache.data.tar_index import read_index


def test_extents_are_the_members_bytes(tmp_path: Path, write_tar: Callable) -> None:
    path = write_tar(tmp_path / "a.tar", [("x/1.PNG", b"picture"), ("x/1.seg.png", b""), ("x/2.png", b"z" * 5000)])
    index, whole = read_index(path), path.read_bytes()
    assert index.ids == ("x/1", "x/2")
    found = [{field: whole[at.offset :][: at.size] for field, at in fields.items()} for fields in index.fields]
    assert found == [{"png": b"picture", "seg.png": b""}, {"png": b"z" * 5000}]


@pytest.mark.parametrize("fmt", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_are_read_in_every_dialect(fmt: int, tmp_path: Path) -> None:
    name = "/".join(["folder" * 5] * 5) + "/0001.png"
    with tarfile.open(tmp_path / "a.tar", "w", format=fmt) as archive:
        header = tarfile.TarInfo(name)
        header.size = 3
        archive.addfile(header, io.BytesIO(b"abc"))
    assert read_index(tmp_path / "a.tar").ids == (name.removesuffix(".png"),)


def test_members_that_are_no_fields_are_left_out(tmp_path: Path, write_tar: Callable) -> None:
    members = [("README", b"x"), ("__meta__/a.png", b"x"), ("d/._1.png", b"mac"), ("d/1.png", b"x"), ("d/1.cls", b"0")]
    index = read_index(write_tar(tmp_path / "a.tar", members))
    assert index.ids == ("d/1",) and set(index.fields[0]) == {"png", "cls"}


def test_shard_cut_short_anywhere_is_refused(shard: Path, tmp_path: Path) -> None:
    whole, cut = shard.read_bytes(), tmp_path / "cut.tar"
    end = 20 * 1024  # ten samples of two members of two blocks each; behind them the end marker
    assert any(whole[end - 512 : end]) and not any(whole[end:])
    for length in range(0, end + 512, 256):
        cut.write_bytes(whole[:length])
        with pytest.raises(DataError, match="cut.tar.*Copy or write the shard again"):
            read_index(cut)


@pytest.mark.parametrize("member", [0, 1, 7, 19])
def test_damaged_header_is_refused_and_not_taken_for_the_end(member: int, shard: Path) -> None:
    whole = bytearray(shard.read_bytes())
    whole[member * 1024 + 5] ^= 0x40
    shard.write_bytes(whole)
    with pytest.raises(DataError, match="train-0000.tar.*Copy or write the shard again"):
        read_index(shard)


def test_joined_archives_are_refused(shard: Path) -> None:
    shard.write_bytes(shard.read_bytes() * 2)
    with pytest.raises(DataError, match="joined with `cat`"):
        read_index(shard)


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_compressed_shard_is_refused_whatever_its_name(mode: str, tmp_path: Path, write_tar: Callable) -> None:
    path = write_tar(tmp_path / "a.tar", [("1.png", b"x")], mode)
    with pytest.raises(DataError, match="only a plain .tar allows. Decompress it"):
        read_index(path)


@pytest.mark.parametrize("name", ["../1.png", "a/../../1.png", "/etc/1.png"])
def test_name_that_leaves_the_archive_is_refused(name: str, tmp_path: Path, write_tar: Callable) -> None:
    path = write_tar(tmp_path / "a.tar", [("0.png", b"x"), (name, b"x")])
    with pytest.raises(DataError, match=f"member '{name}' points out of the archive"):
        read_index(path)


@pytest.mark.parametrize("name", ["a\n1.png", "a\x1b[2J.png", "\udcff.png"])
def test_name_that_is_no_text_is_refused(name: str, tmp_path: Path, write_tar: Callable) -> None:
    path = write_tar(tmp_path / "a.tar", [(name, b"x")])
    with pytest.raises(DataError, match="not plain UTF-8"):
        read_index(path)


@pytest.mark.parametrize("kind", [tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_link_or_device_is_refused(kind: bytes, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        header = tarfile.TarInfo("1.png")
        header.type, header.linkname = kind, "/etc/passwd"
        archive.addfile(header)
    with pytest.raises(DataError, match="'1.png' is a link, a device"):
        read_index(tmp_path / "a.tar")


def test_two_samples_with_one_id_are_refused(tmp_path: Path, write_tar: Callable) -> None:
    path = write_tar(tmp_path / "a.tar", [("1.png", b"x"), ("2.png", b"x"), ("1.cls", b"0")])
    with pytest.raises(DataError, match="two samples have the id '1'"):
        read_index(path)


def test_two_members_for_one_field_are_refused(tmp_path: Path, write_tar: Callable) -> None:
    path = write_tar(tmp_path / "a.tar", [("1.png", b"x"), ("1.PNG", b"y")])
    with pytest.raises(DataError, match="sample '1' has two members 'png'"):
        read_index(path)


def test_shard_without_samples_is_refused(tmp_path: Path, write_tar: Callable) -> None:
    with pytest.raises(DataError, match="holds no sample"):
        read_index(write_tar(tmp_path / "a.tar", []))


def test_file_that_is_no_tar_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"not a tar" * 500)
    with pytest.raises(DataError, match="no complete tar file"):
        read_index(tmp_path / "a.tar")


@settings(deadline=2000, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_shard_gives_extents_inside_the_file_or_a_data_error(data: st.DataObject, shard: Path) -> None:
    whole = bytearray(shard.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        block = data.draw(st.integers(0, 39)) * 512
        start = block + data.draw(st.sampled_from([0, 100, 124, 136, 148, 156, 157, 257, 345]))
        whole[start : start + 4] = data.draw(st.binary(min_size=4, max_size=4))
        _repair_checksum(whole, block)
    damaged = shard.with_name("damaged.tar")
    damaged.write_bytes(whole)
    try:
        index = read_index(damaged)
    except DataError as error:
        assert "damaged.tar" in str(error)
    else:
        assert all(at.offset + at.size <= len(whole) for fields in index.fields for at in fields.values())


def _repair_checksum(archive: bytearray, block: int) -> None:
    """So that the damage is read, and not only noticed."""
    header = archive[block : block + 512]
    header[148:156] = b" " * 8
    archive[block + 148 : block + 156] = b"%06o\0 " % sum(header)


def test_negative_size_does_not_hang(shard: Path) -> None:
    whole = bytearray(shard.read_bytes())
    whole[1024 + 124 : 1024 + 136] = b"\xff" * 11 + b"\x00"  # -256, in base 256
    _repair_checksum(whole, 1024)
    shard.write_bytes(whole)
    with pytest.raises(DataError, match="Copy or write the shard again"):
        read_index(shard)
