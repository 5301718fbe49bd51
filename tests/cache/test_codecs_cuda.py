"""On a GPU each codec gives the bytes that it gives on the host, and decodes them to the same values."""

from typing import Any

import numpy as np
import pytest
import torch

from teachercache.cache import SignalSchema
from teachercache.cache.codecs import Packing, QueryKey, Ragged

pytestmark = pytest.mark.gpu


def maps(rows: int, heads: int, tokens: int) -> torch.Tensor:
    draw = torch.Generator().manual_seed(0)
    scores = torch.randn(rows, heads, tokens, tokens, generator=draw)
    return scores.masked_fill(~torch.ones(tokens, tokens, dtype=torch.bool).tril(), -torch.inf).softmax(-1)


def cases() -> list[tuple[SignalSchema, Any]]:
    draw = torch.Generator().manual_seed(0)
    vectors, lengths = torch.randn(9, 5, 16, generator=draw), torch.arange(9) % 5 + 1
    query, key = torch.randn(9, 4, 5, 8, generator=draw), torch.randn(9, 2, 5, 8, generator=draw)
    heads = {"width": 8, "key_heads": 2, "causal": True}
    basis = torch.linalg.qr(torch.randn(16, 4, generator=draw))[0].numpy()
    pca = {"dimensions": 4, "mean": np.zeros(16, np.float32), "basis": basis}
    plain = [SignalSchema(codec, codec, {}, (5, 16)) for codec in ("f16", "bf16", "int8", "u8affine")]
    return [
        *((schema, vectors) for schema in plain),
        (SignalSchema("pca", "pca", pca, (5, 16)), vectors),
        (SignalSchema("tokens", "int8", {}, (5, 16), packing=Packing((0,))), Ragged(vectors, lengths)),
        (
            SignalSchema("maps", "u8sqrt", {}, (4, 5, 5), packing=Packing((1, 2), causal=True, implied=True)),
            Ragged(maps(9, 4, 5), lengths),
        ),
        (SignalSchema("factored", "factored", heads, (4, 5, 5)), QueryKey(query, key, None, True)),
        (
            SignalSchema("ragged", "factored", {**heads, "keep": "int8"}, (4, 5, 5), packing=Packing((1,))),
            QueryKey(query, key, lengths, True),
        ),
    ]


def there(values: Any) -> Any:
    if isinstance(values, Ragged):
        return Ragged(values.values.cuda(), values.lengths.cuda())
    if isinstance(values, QueryKey):
        lengths = None if values.lengths is None else values.lengths.cuda()
        return QueryKey(values.query.cuda(), values.key.cuda(), lengths, values.causal)
    return values.cuda()


@pytest.mark.parametrize(("schema", "values"), cases(), ids=lambda x: getattr(x, "name", ""))
def test_a_gpu_encodes_and_decodes_as_the_host_does(schema: SignalSchema, values: Any) -> None:
    codec = schema.build()
    ours, theirs = codec.encode(values), codec.encode(there(values))
    for part in codec.parts(schema.shape):
        assert theirs[part.name].device.type == "cuda" and theirs[part.name].dtype == ours[part.name].dtype
        one, other = (each[part.name].cpu().to(torch.float64) for each in (ours, theirs))
        torch.testing.assert_close(one, other, atol=1.01 if part.dtype in ("int8", "uint8") else 0.0, rtol=2**-10)
    decoded = [codec.decode(parts, schema.shape) for parts in (ours, {n: x.cuda() for n, x in ours.items()})]
    one, other = (getattr(x, "values", x) if isinstance(x, Ragged) else x for x in decoded)
    torch.testing.assert_close(one, other.cpu(), atol=1e-5, rtol=1e-5)
