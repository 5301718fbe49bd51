"""One pinned release of onnxruntime-web as npm packs it: fetched once, kept, and held against its hash at every use.

It refuses bytes that are not the release's, wherever they come from.
"""

import base64
import hashlib
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from uuid import uuid4

from ....errors import StageError
from ....student.files.durable_files import write_errors

PACKAGE = "onnxruntime-web"
_REGISTRY = "https://registry.npmjs.org"
_SECONDS = 60  # of silence, before the registry counts as not there


@dataclass(frozen=True, slots=True)
class Release:
    """A version, and its hash as npm states it: the sha512 of the tarball, in base64."""

    version: str
    integrity: str

    @property
    def file(self) -> str:
        """The tarball's name, npm's own."""
        return f"{PACKAGE}-{self.version}.tgz"

    def holds(self, tarball: bytes) -> bool:
        """Whether these bytes are the release."""
        return base64.b64encode(hashlib.sha512(tarball).digest()).decode() == self.integrity.removeprefix("sha512-")


PINNED = Release(
    "1.30.0",
    "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ==",
)


def read_tarball(file: Path, release: Release = PINNED) -> bytes:
    """A tarball that the user has. Raises StageError for one that is not the release."""
    try:
        tarball = file.read_bytes()
    except OSError as error:
        raise StageError(f"{file} cannot be read ({error.strerror}): {_by_hand(release)}") from error
    if not release.holds(tarball):
        raise StageError(f"{file} is not {PACKAGE} {release.version} as npm packs it: {_by_hand(release)}")
    return tarball


def released_tarball(release: Release = PINNED, kept: Path | None = None) -> bytes:
    """The release out of the folder `kept` (the user's cache if None), fetched into it when it is not there.

    Raises StageError when it cannot be fetched, and for what is fetched and is not the release.
    """
    file = (kept or _cache_folder()) / release.file
    if file.is_file() and release.holds(tarball := file.read_bytes()):
        return tarball
    tarball = _fetched(release)
    with write_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(f".{file.name}.{uuid4().hex[:12]}.tmp")
        part.write_bytes(tarball)
        os.replace(part, file)
    return tarball


def _fetched(release: Release) -> bytes:
    """npm's own setting names another registry, such as a mirror."""
    registry = os.environ.get("npm_config_registry") or os.environ.get("NPM_CONFIG_REGISTRY") or _REGISTRY
    url = f"{registry.rstrip('/')}/{PACKAGE}/-/{release.file}"
    try:
        with urllib.request.urlopen(url, timeout=_SECONDS) as response:
            tarball: bytes = response.read()
    except (OSError, HTTPException, ValueError) as error:
        raise StageError(f"{url} cannot be fetched ({error}). {_by_hand(release)}") from error
    if not release.holds(tarball):
        raise StageError(f"{url}: its hash is not that of {PACKAGE} {release.version}, so it is not used")
    return tarball


def _by_hand(release: Release) -> str:
    return (
        f"where there is a network, `npm pack {PACKAGE}@{release.version}` fetches it: name the file with --runtime "
        f"{release.file}; --no-page exports the graphs without a page"
    )


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "teachercache"
