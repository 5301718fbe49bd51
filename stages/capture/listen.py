"""Listening: a context in which chosen points of a model are heard in every forward pass, for teachers and students.

The model is called as always and its output is untouched. Nothing stays on the model after the context. Values heard
are those of the last forward pass of the calling thread; a point that was not heard is an error, never an empty value.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from threading import local
from typing import Any

from torch import Tensor, nn

from ...cache.codecs import QueryKey, Ragged
from ..errors import StageError
from .attention import Ear, Heard, attention_modules, start_hearing, stop_hearing
from .factors import query_key
from .forward import attention_mask, output_field, sample_count
from .head import classifier_head, pooled_input
from .modules import ModuleEars
from .packed_images import packed_tokens, sequences
from .points import Point, nearest, parse_point, point_range
from .ragged import ragged
from .reduction import token_axes
from .windows import folded, is_windowed

_LAYERED: tuple[Heard, ...] = ("attention", "qkv", "qk")  # heard inside a layer's attention


@contextmanager
def listen(model: nn.Module, points: Iterable[str], cut: bool = True) -> Iterator["Listener"]:
    """Hear `points` of `model` within the context; `collect()` of what it yields gives them after each forward pass.

    Without `cut` an attention_mask is not looked at: padding stays, and the caller knows which tokens are real.

    Gradients flow through what is heard. Raises StageError for points the model does not have; a hidden state that does
    not exist is noticed in the first forward pass.
    """
    listener = Listener(model, points, cut)
    with ExitStack() as stack:
        listener._attach(stack)
        yield listener


class Listener:
    """What `listen` yields."""

    def __init__(self, model: nn.Module, points: Iterable[str], cut: bool = True) -> None:
        self._model, self._cuts = model, cut
        self._points = [parse_point(name, paths=True) for name in dict.fromkeys(points)]
        _refuse_towers(model, self._points)
        self._modules = ModuleEars(model, [point.name for point in self._points if point.kind == "module"])
        self._hidden = [point.index for point in self._points if point.kind == "hidden"]
        self._attention = _attention_layers(model, self._points)
        self._embedding = any(point.kind == "embedding" for point in self._points)
        self._head = classifier_head(model) if self._embedding else None
        self._thread = local()
        if self._hidden and not hasattr(model, "config"):
            raise StageError(f"hidden.N is heard in transformers models, and {type(model).__name__} is none")

    def collect(self) -> dict[str, Any]:
        """{point: values with a leading batch axis} of this thread's last forward pass; once per pass.

        Tensors; `Ragged` for what has tokens, where the model was called with an attention_mask; `QueryKey` for qk.N.
        """
        heard: dict[str, Any] | None = self._thread.__dict__.pop("heard", None)
        if heard is None:
            raise StageError("nothing was heard: the model was not run since the last collect()")
        return heard

    def _attach(self, stack: ExitStack) -> None:
        handles = [
            self._model.register_forward_pre_hook(self._before, with_kwargs=True),
            self._model.register_forward_hook(self._after),
        ]
        if self._head is not None:
            handles.append(self._head.register_forward_pre_hook(self._hear_head))
        for handle in handles:
            stack.callback(handle.remove)
        self._modules.attach(stack)
        for kind in _LAYERED:
            found = (self._attention[point.name] for point in self._points if point.kind == kind)
            if modules := list(dict.fromkeys(found)):  # attention.11 and attention.-1 may be one module
                ear = Ear(kind, partial(self._hear_attention, kind))
                start_hearing(self._model, modules, ear)
                stack.callback(stop_hearing, self._model, modules, ear)

    def _before(
        self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        self._thread.attention, self._thread.embedding = {}, None
        self._modules.forget()
        self._thread.mask = attention_mask(self._model, args, kwargs) if self._cuts else None
        self._thread.__dict__.pop("heard", None)
        if self._hidden:
            asked = _asked_too(kwargs.get("output_hidden_states"), self._hidden_request())
            kwargs = {**kwargs, "output_hidden_states": asked}
        return args, kwargs

    def _hidden_request(self) -> list[int] | bool:
        """transformers keeps only the layers of a list; a model that knows no list takes it for True and keeps all."""
        countable = hasattr(self._model.config, "num_hidden_layers")
        return self._hidden if countable or min(self._hidden) >= 0 else True

    def _hear_head(self, head: nn.Module, args: tuple[Any, ...]) -> None:
        self._thread.embedding = pooled_input(head, args[0])

    def _hear_attention(self, kind: Heard, module: nn.Module, values: Any) -> None:
        # A module that is not the model's own pass (another thread's, or called directly) has no dict to write into.
        heard: dict[tuple[Heard, nn.Module], list[Any]] = self._thread.__dict__.setdefault("attention", {})
        heard.setdefault((kind, module), []).append(values)

    def _after(self, _: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        state = self._thread.__dict__
        attention, embedding, mask = state.pop("attention"), state.pop("embedding"), state.pop("mask")
        heard: dict[str, Any] = {}
        for point in self._points:
            match point.kind:
                case "logits":
                    heard[point.name] = _cut(point, output_field(self._model, output, "logits"), mask)
                case "embedding":
                    heard[point.name] = self._pooled(embedding)
                case "hidden":
                    heard[point.name] = _cut(point, _hidden_state(self._model, output, point), mask)
                case "module":
                    heard[point.name] = self._modules.collect(point.name, mask)
                case "qk":
                    heard[point.name] = self._query_key(point, attention, output, mask)
                case _:
                    heard[point.name] = _cut(point, self._attention_of(point, attention, output), mask)
        self._thread.heard = heard

    def _pooled(self, embedding: Tensor | None) -> Tensor:
        if embedding is None:
            raise StageError(
                f"the classifier head of {type(self._model).__name__} was not run, so there is no 'embedding'"
            )
        return embedding

    def _attention_of(self, point: Point, attention: Mapping[Any, list[Any]], output: Any) -> Any:
        heard = attention.get((point.kind, self._attention[point.name]), [])
        if (tokens := packed_tokens(output)) is not None:
            return sequences(point.name, heard, tokens)
        rows = sample_count(self._model, output)
        if is_windowed(self._attention[point.name]):
            heard = [folded(point.kind, values, rows) for values in heard]
        sizes = [tuple((values.query if point.kind == "qk" else values).shape) for values in heard]
        if len(sizes) != 1 or sizes[0][0] != rows:
            shapes = ", ".join(map(str, sizes)) or "nothing"
            raise StageError(
                f"{point.name} of {type(self._model).__name__} is not one attention per sample: "
                f"for {rows} rows its layer gave {shapes}"
            )
        return heard[0]

    def _query_key(
        self, point: Point, attention: Mapping[Any, list[Any]], output: Any, mask: Tensor | None
    ) -> QueryKey:
        return query_key(point.name, self._attention_of(point, attention, output), mask)


def _refuse_towers(model: nn.Module, points: Iterable[Point]) -> None:
    """Points of towers, and what towers are projected to, are heard by whoever knows the towers."""
    for point in points:
        if point.part or point.kind == "embeds":
            raise StageError(f"{type(model).__name__} has no point {point.name}: it has no towers that are known here")
        if point.span:
            raise StageError(f"{point.name}: spans are those of a vision-language teacher, and this is none")


def _cut(point: Point, values: Tensor, mask: Tensor | None) -> Tensor | Ragged:
    """Real tokens first, where the model was told which tokens are real; logits of whole sequences have no tokens."""
    if mask is None or (point.kind == "logits" and values.ndim == 2):
        return values
    return ragged(values, mask, token_axes(point.kind, "none"))


def _attention_layers(model: nn.Module, points: Iterable[Point]) -> dict[str, nn.Module]:
    """The module of each point that is heard inside a layer's attention."""
    wanted = [point for point in points if point.kind in _LAYERED]
    modules = attention_modules(model) if wanted else []
    for point in wanted:
        if not modules:
            raise StageError(
                f"{point.name}: {type(model).__name__} has no attention that can be heard "
                "(none at all, or one that does not run through transformers' attention interface)"
            )
        _check_index(model, point, len(modules))
    return {point.name: modules[point.index] for point in wanted}


def _asked_too(caller: Any, own: list[int] | bool) -> list[int] | bool:
    """What the caller reads of a tower's hidden states stays there beside what is heard."""
    if own is True or caller is True:
        return True
    also = [caller] if isinstance(caller, int) and caller is not False else list(caller or ())
    return [*dict.fromkeys([*also, *own])] if isinstance(own, list) else own


def _hidden_state(model: nn.Module, output: Any, point: Point) -> Tensor:
    states = output_field(model, output, "hidden_states")
    _check_index(model, point, len(states))
    state = states[point.index]
    if not isinstance(state, Tensor):
        raise StageError(f"{type(model).__name__} left {point.name} empty")
    return state


def _check_index(model: nn.Module, point: Point, count: int) -> None:
    if not -count <= point.index < count:
        known = [f"{point.kind}.{index}" for index in range(count)]
        has = point_range(point.kind, count)
        raise StageError(f"{type(model).__name__} has no {point.name}{nearest(point.name, known)}; it has {has}")
