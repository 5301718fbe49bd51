"""Flips single bits of a cache, one at a time, and reads it with checking off. What dies, dies here and not in pytest.

A script: python flipping.py CACHE SEED FLIPS [PATTERN of names]. It says each flip before it tries it.
"""

import random
import sys
from fnmatch import fnmatch
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from every_form import everything

from teachercache.cache import CacheError


def flip(path: Path, position: int, bit: int) -> bytes:
    """Change one bit of a file; the bytes that it had."""
    data = path.read_bytes()
    changed = bytearray(data)
    changed[position] ^= 1 << bit
    path.write_bytes(changed)
    return data


def main(root: Path, seed: int, flips: int, pattern: str = "*") -> None:
    """Any flip is read through, or refused in one sentence."""
    rng = random.Random(seed)
    files = sorted(path for path in root.rglob("*") if path.is_file() and fnmatch(str(path.relative_to(root)), pattern))
    for _ in range(flips):
        path = rng.choice(files)
        position, bit = rng.randrange(path.stat().st_size), rng.randrange(8)
        print(f"{path.relative_to(root)} {position} {bit}", flush=True)
        data = flip(path, position, bit)
        try:
            everything(root)
        except CacheError as error:
            assert str(error)
        finally:
            path.write_bytes(data)
    print("survived", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])
