"""Whether a layer's attention is smaller as a map or as the queries and keys it is made of. It informs alone."""

from collections.abc import Iterable, Mapping
from typing import Any

from ....cache.codecs import Packing
from ....cache.format.schema import SignalSchema
from ...capture import parse_point

_FORMS = ("u8sqrt", "factored")


def attention_notes(schemas: Iterable[SignalSchema], config: Any) -> tuple[str, ...]:
    """One line for each shape of attention map that is kept whole, as u8sqrt or factored: which form is smaller.

    `config` is the teacher's; nothing is said of a teacher whose configuration does not tell the width of its heads.
    """
    found: dict[str, list[str]] = {}
    for schema in schemas:
        point = parse_point(schema.point, paths=True)
        if schema.codec in _FORMS and schema.reduce == "none" and point.kind == "attention" and not point.span:
            sizes = form_bytes(schema, getattr(config, f"{point.part}_config", config))
            if sizes:
                found.setdefault(_comparison(schema, sizes), []).append(schema.name)
    return tuple(f"{', '.join(names)}: {comparison}" for comparison, names in found.items())


def form_bytes(schema: SignalSchema, config: Any) -> dict[str, int]:
    """{form: bytes of one row, the longest one where rows differ in length}; empty where the heads are not known."""
    heads = schema.parameters if schema.codec == "factored" else _heads(config)
    if not heads:
        return {}
    causal = bool(schema.parameters.get("causal")) or bool(schema.packing and schema.packing.causal)
    maps = Packing((1, 2), causal, implied=causal) if causal or schema.packing is not None else None
    tokens = None if schema.packing is None else Packing((1,))
    found = {"u8sqrt": _bytes("u8sqrt", {}, schema.shape, maps)}
    for keep in ("f16", "int8"):
        parameters = {"keep": keep, "width": heads["width"], "key_heads": heads["key_heads"], "causal": causal}
        found[f"factored in {keep}"] = _bytes("factored", parameters, schema.shape, tokens)
    return found


def _bytes(codec: str, parameters: Mapping[str, Any], shape: tuple[int, ...], packing: Packing | None) -> int:
    return SignalSchema("x", codec, parameters, shape, packing=packing).row_bytes()


def _heads(config: Any) -> dict[str, int]:
    """Width of a head and number of key heads, as transformers' configurations name them."""
    heads, hidden = getattr(config, "num_attention_heads", None), getattr(config, "hidden_size", None)
    if not isinstance(heads, int) or not isinstance(hidden, int):
        return {}
    width, keys = getattr(config, "head_dim", None), getattr(config, "num_key_value_heads", None)
    return {"width": width or hidden // heads, "key_heads": keys or heads}


def _comparison(schema: SignalSchema, sizes: Mapping[str, int]) -> str:
    smallest = min(sizes, key=lambda form: sizes[form])
    listed = ", ".join(f"{form} {size:,}" for form, size in sizes.items())
    own = f"factored in {schema.parameters['keep']}" if schema.codec == "factored" else "u8sqrt"
    verdict = "the smallest is what is kept" if own == smallest else f"{smallest} is smaller than {own}, which is kept"
    return f"bytes a row: {listed}; {verdict}"
