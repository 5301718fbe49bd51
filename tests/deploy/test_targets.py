"""Every target can be asked for, says what installs it, and stands in the docs and in the extras."""

import re
import tomllib
from pathlib import Path

import pytest

from teachercache.pipeline.commands.export import _TARGETS as HELP
from teachercache.stages.deploy.export.script import INSTALL, run_script
from teachercache.stages.deploy.export.targets.target import TARGETS, target_of
from teachercache.stages.errors import StageError

ROOT = Path(__file__).resolve().parents[2]
STEPS = {"inputs": {"pixel_values": {"kind": "image"}}}


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_is_known_everywhere(target: str) -> None:
    assert INSTALL[target].startswith("pip install ") and target in HELP
    compile(run_script(target, STEPS), f"{target}/run.py", "exec")
    row = re.search(rf"^\| `{target}` \| .* \| (.*) \|$", (ROOT / "docs" / "export.md").read_text("utf-8"), re.M)
    assert row is not None
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    assert row[1] == "none" or row[1].strip("`") in extras


def test_there_are_no_others() -> None:
    assert set(INSTALL) == set(TARGETS)
    with pytest.raises(StageError, match="there is no such target; there are onnx, web, "):
        target_of("onyx")
