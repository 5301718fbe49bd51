"""The files of onnxruntime-web that a page needs: WebAssembly on the CPU, no WebGPU.

They come from a folder or tarball that the user names, or else from the pinned release. It refuses a folder that is no
such package.
"""

import io
import json
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ....errors import StageError
from .download import PACKAGE, PINNED, read_tarball, released_tarball

FILES = ("dist/ort.wasm.min.mjs", "dist/ort-wasm-simd-threaded.mjs", "dist/ort-wasm-simd-threaded.wasm")
_ABOUT = "package.json"  # names version and licence


@dataclass(frozen=True, slots=True)
class Runtime:
    """`files`: {name in the page's folder: bytes}."""

    version: str
    files: Mapping[str, bytes]

    @property
    def name(self) -> str:
        """As web.json says it."""
        return f"{PACKAGE} {self.version}"


def open_runtime(place: Path | None = None) -> Runtime:
    """Of the package that lies unpacked in `place`, or of the tarball there; None takes the pinned release.

    Raises StageError for what is no such package, and when the release cannot be had.
    """
    if place is not None and place.is_dir():
        return _runtime(lambda name: (place / name).read_bytes(), place)
    tarball = released_tarball() if place is None else read_tarball(place)
    with tarfile.open(fileobj=io.BytesIO(tarball)) as tar:
        packed = {member.name: member for member in tar}
        return _runtime(lambda name: _unpacked(tar, packed[f"package/{name}"]), place or Path(PINNED.file))


def _unpacked(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    if file is None:
        raise KeyError(member.name)
    return file.read()


def _runtime(read: Callable[[str], bytes], place: Path) -> Runtime:
    try:
        about = json.loads(read(_ABOUT))
        if about["name"] != PACKAGE:
            raise StageError(f"{place} is the npm package {about['name']}, and a page needs {PACKAGE}")
        files = {f"ort/{name.rpartition('/')[2]}": read(name) for name in (*FILES, _ABOUT)}
        return Runtime(str(about["version"]), files)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise StageError(
            f"{place} is no npm package {PACKAGE} ({error}): name its unpacked folder, such as node_modules/{PACKAGE}, "
            f"or what `npm pack {PACKAGE}@{PINNED.version}` wrote"
        ) from error
