"""`teachercache cache inspect`: what is in a cache."""

import json
from typing import Annotated

import typer

from ....cache import open_cache
from ...console import console
from ...keeping.inspection import inspect_cache
from ...keeping.inspection_table import inspection_lines, inspection_table
from .location import CachePath, cache_address


def inspect(
    path: CachePath,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON instead of a table")] = False,
) -> None:
    """Show signals, codecs with their measured error, bytes, shards, cost and rubbish of a cache.

    Example: [bold]teachercache cache inspect runs/demo/cache[/bold]
    """
    found = inspect_cache(open_cache(cache_address(path)))
    if as_json:
        print(json.dumps(found, indent=1))
    else:
        console.print(inspection_table(found))
        for line in inspection_lines(found):
            console.print(line, soft_wrap=True)
