"""The verbs of `teachercache cache`, one a file, in the order in which `--help` shows them."""

from collections.abc import Callable
from typing import Any

from . import build, export, extend, gc, inspect, merge, recode, repair, slice, verify

COMMANDS: dict[str, Callable[..., Any]] = {
    "build": build.build,
    "extend": extend.extend,
    "inspect": inspect.inspect,
    "verify": verify.verify,
    "repair": repair.repair,
    "slice": slice.slice,
    "recode": recode.recode,
    "merge": merge.merge,
    "export": export.export,
    "gc": gc.gc,
}
