"""Texts, arrays and JSON beside the image, or instead of one."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from teachercache.data import DataError, Sample, SourceSpec, decode_field, open_source

FIELDS = {
    "caption": {"kind": "text", "ext": ["txt"]},
    "volume": {"kind": "array", "ext": ["npy", "npz"]},
    "facts": {"kind": "json", "ext": ["json"]},
}


def npy(array: Any, **named: Any) -> bytes:
    out = io.BytesIO()
    np.savez(out, **named) if named else np.save(out, array, allow_pickle=True)
    return out.getvalue()


def members(key: str, number: int) -> list[tuple[str, bytes]]:
    array = npy(np.full((2, 3), number, np.int16)) if number % 2 else npy(None, a=np.arange(number), b=np.ones(2))
    return [
        (f"{key}.txt", f"caption {number} – ü".encode()),
        (f"{key}.{'npy' if number % 2 else 'npz'}", array),
        (f"{key}.json", json.dumps({"n": number, "list": ["x"]}).encode()),
        (f"{key}.cls", str(number).encode()),
    ]


@pytest.fixture
def source(tmp_path: Path, write_tar: Callable[..., Path]) -> Callable[..., Any]:
    def make(extra: list[tuple[str, bytes]] = [], **settings: Any) -> Any:  # noqa: B006
        write_tar(tmp_path / "s.tar", [*members("k0", 0), *members("k1", 1), *extra])
        return open_source(SourceSpec(path=str(tmp_path / "s.tar"), **{"image": (), "fields": FIELDS, **settings}))

    return make


def test_fields_come_back_as_they_were_written(source: Callable[..., Any]) -> None:
    first, second = source().read("s")
    assert (first.image, first.label, second.label) == (b"", 0, 1)
    assert decode_field(first, "caption", "text") == "caption 0 – ü"
    assert decode_field(second, "facts", "json") == {"n": 1, "list": ["x"]}
    np.testing.assert_array_equal(decode_field(second, "volume", "array"), np.full((2, 3), 1, np.int16))
    assert {name: array.tolist() for name, array in decode_field(first, "volume", "array").items()} == {
        "a": [],
        "b": [1.0, 1.0],
    }


def test_a_field_that_a_sample_lacks_is_an_error_that_names_it(source: Callable[..., Any]) -> None:
    with pytest.raises(DataError, match="sample 'k2' has no caption: source.fields.caption.ext is txt"):
        source([("k2.cls", b"1")]).open("s")
    sample = Sample("k", "s", b"", None, {"caption": b"a"})
    with pytest.raises(DataError, match="sample 'k' of shard 's' has no field 'volume'"):
        decode_field(sample, "volume", "array")


class Harmless:
    """Would be called when a pickle is loaded."""

    def __reduce__(self) -> Any:
        return print, ("loaded",)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("text", b"\xff\xfe"),
        ("json", b"{"),
        ("json", b"[NaN]"),
        ("json", b"[" * 100_000),
        ("array", b""),
        ("array", b"PK\x03\x04 cut short"),
        ("array", npy(np.array([Harmless()], dtype=object))),
        ("array", npy(np.array(["text"]))),
        ("array", npy(np.arange(9.0))[:-8]),
    ],
)
def test_what_cannot_be_read_is_an_error_that_names_sample_and_field(kind: str, data: bytes) -> None:
    with pytest.raises(DataError, match=f"sample 'k' of shard 's': field 'x' is no {kind} that can be read"):
        decode_field(Sample("k", "s", b"", None, {"x": data}), "x", kind)


def test_other_fields_are_part_of_the_fingerprint_and_sources_of_images_keep_theirs(source: Callable[..., Any]) -> None:
    assert "fields" in source().fingerprint
    assert "fields" not in source(fields={}, label=None).fingerprint


@pytest.mark.parametrize("name", ["image", "label", "id", "Upper", "a.b", ""])
def test_names_of_fields_are_plain_and_new(name: str) -> None:
    with pytest.raises(ValidationError):
        SourceSpec(path="x", fields={name: {"kind": "text", "ext": ["txt"]}})


def test_a_folder_holds_images_alone(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds images and nothing else"):
        open_source(SourceSpec(kind="folder", path=str(tmp_path), fields=FIELDS))
