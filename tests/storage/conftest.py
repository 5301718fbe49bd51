"""An S3 server for this folder's tests, a gate before it, an address of its own for each test, and a small mirror."""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

HERE = Path(__file__).parent


def load(name: str, path: Path) -> ModuleType:
    """Import a file that is no test by its path."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The server; tests are skipped, with the reason, where it cannot be had."""
    pytest.importorskip("obstore", reason="obstore is not installed: pip install 'teachercache[s3]'")
    try:
        server = load("s3_server", HERE / "s3_server.py").S3Server(tmp_path_factory.mktemp("weed"))
    except (FileNotFoundError, RuntimeError) as error:
        pytest.skip(str(error))
    yield server
    server.stop()


@pytest.fixture
def gate(s3_server: Any, monkeypatch: pytest.MonkeyPatch, mirror: Path) -> Iterator[Any]:
    """The way to the server, set up in the environment as a user would."""
    found = load("gate", HERE / "gate.py").Gate(s3_server.url)
    monkeypatch.setenv("AWS_ENDPOINT_URL", found.url)
    for name, value in {"ACCESS_KEY_ID": "me", "SECRET_ACCESS_KEY": "secret", "REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("TEACHERCACHE_RETRY_SECONDS", "1")
    yield found
    found.close()


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The mirror's folder, empty."""
    monkeypatch.setenv("TEACHERCACHE_MIRROR", str(tmp_path / "near"))
    monkeypatch.delenv("TEACHERCACHE_MIRROR_BYTES", raising=False)
    return tmp_path / "near" / "mirror"


@pytest.fixture
def address(s3_server: Any, gate: Any) -> str:
    """A prefix that nobody else uses."""
    return f"s3://{s3_server.bucket}/{uuid4().hex[:12]}/cache"


def held(folder: Path) -> int:
    """Bytes of all files of a mirror, while nobody makes room or takes it."""
    from teachercache.cache.remote.usage import locked

    with locked(folder / ".usage"):
        found = [path for path in folder.rglob("*") if path.name != ".usage"]
        return sum(path.lstat().st_size for path in found if path.is_file())


@pytest.fixture
def held_bytes() -> Callable[[Path], int]:
    """`held`."""
    return held


@pytest.fixture
def make_cache() -> Callable[..., Any]:
    """Make a cache at an address with the given numbers of samples in its shards, of random values."""
    small = load("cache_conftest", HERE.parent / "cache" / "conftest.py")

    def make(where: str | Path, *samples: int, **changes: Any) -> tuple[Any, dict[str, dict[str, np.ndarray]]]:
        from teachercache.cache import create_cache, open_cache

        names = tuple(f"s{i}" for i in range(len(samples)))
        cache = create_cache(where, small.make_manifest(names, **changes))
        values = {
            name: small.write_shard(cache, name, count, number)
            for number, (name, count) in enumerate(zip(names, samples, strict=True))
        }
        return open_cache(where), values

    return make
