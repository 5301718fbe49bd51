"""What killing.py kills: a merge of shards that two builders made. Round 0 is the undisturbed one; odd rounds copy."""

import importlib.util
import sys
from pathlib import Path

from teachercache.cache import open_cache
from teachercache.cache.rewriting.shard_union import plan_union, unite_shards

_spec = importlib.util.spec_from_file_location("killed_recode", Path(__file__).with_name("killed_recode.py"))
assert _spec is not None and _spec.loader is not None
recode = importlib.util.module_from_spec(_spec)
sys.modules["killed_recode"] = recode
_spec.loader.exec_module(recode)

compare = recode.compare


def prepare(root: str, *unused: str) -> Path:
    """Make the parts before the first fork; one shard is in both."""
    recode.make_cache(Path(root) / "a", recode.SHARDS[:4])
    recode.make_cache(Path(root) / "b", recode.SHARDS[3:])
    return Path(root)


def work(root: Path, number: int) -> None:
    """Make what is missing of the merged cache."""
    parts = [open_cache(root / name) for name in ("a", "b")]
    out, copy = str(root / f"round-{number}"), number % 2 == 1
    unite_shards(out, parts, plan_union(parts), lambda done, total: None, copy)
