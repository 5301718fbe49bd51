"""What is said of a value that cannot be used: where it stands, what may stand there, and the nearest valid word."""

import difflib
import re
from collections.abc import Mapping

from pydantic_core import ErrorDetails


def wrong_value(where: str, item: ErrorDetails) -> str:
    """One line for one of pydantic's errors at the dotted path `where` ("" for the whole file). The nearest valid word
    comes before all others: they may be many."""
    context, given, message = item.get("ctx", {}), item["input"], item["msg"].removeprefix("Value error, ")
    words: list[str] = []
    if item["type"] == "union_tag_invalid":
        where, given = f"{where}.{context['discriminator'].strip(chr(39))}", context["tag"]
        words = _words(context["expected_tags"])
        message = f"Input should be one of {', '.join(words)}"
    elif item["type"] == "union_tag_not_found":
        where, message = f"{where}.{context['discriminator'].strip(chr(39))}", "this is required and missing"
    elif item["type"] == "literal_error":
        words = _words(context["expected"])
    elif item["type"] in ("bool_parsing", "bool_type"):
        message = "Input should be true or false"
    near = difflib.get_close_matches(str(given), words, 1, 0.5)
    if where and near:
        return f"{where}: not {given!r}; did you mean {near[0]}? {message}"
    shown = "" if isinstance(given, Mapping | list) else f", not {given!r}"
    return f"{where}: {message}{shown}" if where else message


def _words(expected: str) -> list[str]:
    return re.findall(r"'([^']*)'", expected)
