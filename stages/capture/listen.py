"""Listening: a context in which chosen points of a model are heard in every forward pass, for teachers and students.

The model is called as always and its output is untouched. Nothing stays on the model after the context. Values heard
are those of the last forward pass of the calling thread; a point that was not heard is an error, never an empty value.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from threading import local
from typing import Any

from torch import Tensor, nn

from ..errors import StageError
from .attention import attention_modules, start_hearing, stop_hearing
from .head import classifier_head, pooled_input
from .points import Point, nearest, parse_point, point_range


@contextmanager
def listen(model: nn.Module, points: Iterable[str]) -> Iterator["Listener"]:
    """Hear `points` of `model` within the context; `collect()` of what it yields gives them after each forward pass.

    Gradients flow through what is heard. Raises StageError for points the model does not have; a hidden state that does
    not exist is noticed in the first forward pass.
    """
    listener = Listener(model, points)
    with ExitStack() as stack:
        listener._attach(stack)
        yield listener


class Listener:
    """What `listen` yields."""

    def __init__(self, model: nn.Module, points: Iterable[str]) -> None:
        self._model = model
        self._points = [parse_point(name) for name in dict.fromkeys(points)]
        self._hidden = [point.index for point in self._points if point.kind == "hidden"]
        self._attention = _attention_layers(model, self._points)
        self._embedding = any(point.kind == "embedding" for point in self._points)
        self._head = classifier_head(model) if self._embedding else None
        self._thread = local()
        if self._hidden and not hasattr(model, "config"):
            raise StageError(f"hidden.N is heard in transformers models, and {type(model).__name__} is none")

    def collect(self) -> dict[str, Tensor]:
        """{point: values with a leading batch axis} of this thread's last forward pass; once per pass."""
        heard: dict[str, Tensor] | None = self._thread.__dict__.pop("heard", None)
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
        if self._attention:
            modules = list(dict.fromkeys(self._attention.values()))  # attention.11 and attention.-1 may be one module
            start_hearing(self._model, modules, self._hear_attention)
            stack.callback(stop_hearing, self._model, modules, self._hear_attention)

    def _before(
        self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        self._thread.attention, self._thread.embedding = {}, None
        self._thread.__dict__.pop("heard", None)
        if self._hidden:
            kwargs = {**kwargs, "output_hidden_states": self._hidden_request()}
        return args, kwargs

    def _hidden_request(self) -> list[int] | bool:
        """transformers keeps only the layers of a list; a model that knows no list takes it for True and keeps all."""
        countable = hasattr(self._model.config, "num_hidden_layers")
        return self._hidden if countable or min(self._hidden) >= 0 else True

    def _hear_head(self, head: nn.Module, args: tuple[Any, ...]) -> None:
        self._thread.embedding = pooled_input(head, args[0])

    def _hear_attention(self, module: nn.Module, probabilities: Tensor) -> None:
        # A module that is not the model's own pass (another thread's, or called directly) has no dict to write into.
        heard: dict[nn.Module, list[Tensor]] = self._thread.__dict__.setdefault("attention", {})
        heard.setdefault(module, []).append(probabilities)

    def _after(self, _: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        attention, embedding = self._thread.__dict__.pop("attention"), self._thread.__dict__.pop("embedding")
        heard = {}
        for point in self._points:
            match point.kind:
                case "logits":
                    heard[point.name] = _field(self._model, output, "logits")
                case "embedding":
                    heard[point.name] = self._pooled(embedding)
                case "hidden":
                    heard[point.name] = _hidden_state(self._model, output, point)
                case "attention":
                    heard[point.name] = self._attention_of(point, attention, output)
        self._thread.heard = heard

    def _pooled(self, embedding: Tensor | None) -> Tensor:
        if embedding is None:
            raise StageError(
                f"the classifier head of {type(self._model).__name__} was not run, so there is no 'embedding'"
            )
        return embedding

    def _attention_of(self, point: Point, attention: Mapping[nn.Module, list[Tensor]], output: Any) -> Tensor:
        heard = attention.get(self._attention[point.name], [])
        rows = len(_field(self._model, output, "logits"))
        if len(heard) != 1 or len(heard[0]) != rows:
            shapes = ", ".join(str(tuple(values.shape)) for values in heard) or "nothing"
            raise StageError(
                f"{point.name} of {type(self._model).__name__} is not one attention per sample: "
                f"for {rows} rows its layer gave {shapes}"
            )
        return heard[0]


def _attention_layers(model: nn.Module, points: Iterable[Point]) -> dict[str, nn.Module]:
    """The module of each attention point."""
    wanted = [point for point in points if point.kind == "attention"]
    modules = attention_modules(model) if wanted else []
    for point in wanted:
        if not modules:
            raise StageError(
                f"{point.name}: {type(model).__name__} has no attention that can be heard "
                "(none at all, one per window, or one that does not run through transformers' attention interface)"
            )
        _check_index(model, point, len(modules))
    return {point.name: modules[point.index] for point in wanted}


def _hidden_state(model: nn.Module, output: Any, point: Point) -> Tensor:
    states = _field(model, output, "hidden_states")
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


def _field(model: nn.Module, output: Any, name: str) -> Any:
    """`output.name` or `output["name"]`; a bare tensor is the logits."""
    if isinstance(output, Tensor) and name == "logits":
        return output
    value = output.get(name) if isinstance(output, Mapping) else getattr(output, name, None)
    if value is None or (isinstance(value, tuple) and not value):
        raise StageError(f"{type(model).__name__} returns no {name}")
    return value
