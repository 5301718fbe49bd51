"""Hears a vision-language model: its language model token by token, its tower and its modules row by row.

The language model's own mask is heard too: a model that expands images in its forward pass lays it again, and returns
it to nobody.
"""

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ....cache.codecs import QueryKey, Ragged
from ...capture import listen
from ...capture.anatomy import Anatomy
from ...capture.modules import ModuleEars
from ...capture.points import Point
from ...capture.ragged import ragged, token_runs
from ...capture.reduction import token_axes
from ...capture.spans import expanded_kinds
from ...errors import StageError

PROJECTOR = "projector"


@dataclass(frozen=True, slots=True)
class Tokens:
    """What the language model ran on: its `mask` (B, T), 1 for real tokens, and `kinds` (B, T), real tokens first."""

    mask: Tensor
    kinds: Tensor


class VisionLanguageEars:
    """Listens to `points` of `model` until `stack` is left."""

    def __init__(self, model: nn.Module, parts: Anatomy, points: Iterable[Point], stack: ExitStack) -> None:
        self._parts, points = parts, list(points)
        language, vision = model.get_submodule(parts.language), model.get_submodule(parts.vision)
        layered = [point for point in points if point.kind in ("hidden", "attention", "qkv") and not point.part]
        factored = [point.name for point in points if point.kind == "qk" and not point.part]
        inside = [point.name.removeprefix("vision.") for point in points if point.part == "vision"]
        paths = [self._path(point.name) for point in points if point.kind == "module"]
        self._ears = [
            (name, stack.enter_context(listen(part, heard, cut)))
            for name, part, heard, cut in (
                ("", language, sorted({_whole(point) for point in layered}), False),
                ("qk", language, factored, True),
                ("vision", vision, inside, False),
            )
            if heard
        ]
        self._modules, self._paths = ModuleEars(model, paths), paths
        self._modules.attach(stack)
        hook = language.register_forward_pre_hook(self._hear_mask, with_kwargs=True)
        stack.callback(hook.remove)
        stack.callback(vision.register_forward_pre_hook(self._count_images, with_kwargs=True).remove)
        self._heard_mask: Tensor | None = None
        self._tokens = 0
        self._images: list[int] = []  # how many each run of the tower was given

    def forget(self) -> None:
        """A new pass begins."""
        self._modules.forget()
        self._heard_mask, self._tokens, self._images = None, 0, []

    def tokens(self, mask: Tensor, kinds: Tensor, same: bool) -> Tokens:
        """What the last pass ran on; `mask` and `kinds` (B, t) are those of the ids it was called with, and `same` says
        that they must be the language model's own.

        Raises StageError when the model made its inputs longer and does not tell its language model where padding is.
        """
        own = self._heard_mask if self._heard_mask is not None else mask
        if own.shape[1] != self._tokens:
            raise StageError(
                f"the teacher's language model ran on {self._tokens} tokens a row, of {mask.shape[1]} ids, and was not "
                "told which of them are real (attention_mask): its spans are not known"
            )
        if same and (own.shape != mask.shape or bool((own.to(torch.bool) != mask.to(torch.bool)).any())):
            raise StageError("the teacher moves its tokens in its forward pass, and was asked for logits of some alone")
        _, lengths = token_runs(own)
        compact = ragged(kinds, mask)
        return Tokens(own, expanded_kinds(compact, lengths, own.shape[1]))

    def collect(self, tokens: Tokens) -> dict[str, Tensor | Ragged | QueryKey]:
        """{point: values} of the last pass: `Ragged`, real tokens first, for what has the language model's tokens."""
        heard: dict[str, Any] = {}
        for name, ears in self._ears:
            for point, values in ears.collect().items():
                heard[f"{name}.{point}" if name == "vision" else point] = self._rows(name, point, values, tokens)
        rows = len(tokens.mask)
        singly = self._images == [1] * rows  # the tower sees image by image, as Magma's
        for path in self._paths:
            values = self._modules.collect(path, None, rows if singly and not self._in_language(path) else None)
            heard[path] = self._of_module(path, values, tokens)
        return heard

    def _rows(self, part: str, point: str, values: Any, tokens: Tokens) -> Any:
        if part == "vision":
            return _of_tower(values, len(tokens.mask), point)
        axes = token_axes(point.partition(".")[0], "none")
        return ragged(values, tokens.mask, axes) if isinstance(values, Tensor) else values

    def _of_module(self, path: str, values: Tensor | Ragged, tokens: Tokens) -> Tensor | Ragged:
        assert isinstance(values, Tensor)
        if self._in_language(path) and values.ndim >= 3 and values.shape[:2] == tokens.mask.shape:
            return ragged(values, tokens.mask)
        return _folded(values, len(tokens.mask), path)

    def _in_language(self, path: str) -> bool:
        return path == self._parts.language or path.startswith(f"{self._parts.language}.")

    def _count_images(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = next((value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)), None)
        self._images.append(0 if given is None else len(given))

    def _path(self, name: str) -> str:
        return self._parts.projector if name == PROJECTOR else name

    def _hear_mask(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        mask = kwargs.get("attention_mask")
        self._heard_mask = mask if isinstance(mask, Tensor) and mask.ndim == 2 else None
        embeddings = kwargs.get("inputs_embeds")
        known = embeddings if embeddings is not None else next((x for x in args if isinstance(x, Tensor)), None)
        if known is None:
            known = kwargs["input_ids"]
        self._tokens = int(known.shape[1])


def _whole(point: Point) -> str:
    """The point of which this one keeps a span, or itself."""
    return f"{point.kind}.{point.index}"


def _of_tower(values: Any, rows: int, point: str) -> Any:
    """What a tower says, as rows; of several sequences in each (tiles, windows) they are an axis of their own."""
    if isinstance(values, QueryKey):
        if len(values.query) != rows:
            raise StageError(
                f"vision.{point}: {len(values.query)} maps were heard for {rows} rows; as queries and keys one of each "
                "row alone can be kept: keep it with u8sqrt"
            )
        return values
    return _folded(values, rows, f"vision.{point}")


def _folded(values: Tensor, rows: int, point: str) -> Tensor:
    """Tiles or patches that a tower takes end to end, as rows: (B * n, ...) -> (B, n, ...)."""
    if len(values) == rows:
        return values
    if len(values) % rows:
        raise StageError(f"{point}: {tuple(values.shape)} was heard for {rows} rows, and they are not of one size")
    folded: Tensor = values.unflatten(0, (rows, -1))
    return folded
