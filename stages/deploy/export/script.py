"""`run.py` of an export: some twenty lines that run it with numpy, Pillow and the runtime of its target alone."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

INSTALL = {
    "onnx": "pip install numpy pillow onnxruntime",
    "web": "pip install numpy pillow onnxruntime",
    "openvino": "pip install numpy pillow openvino",
    "litert": "pip install numpy pillow ai-edge-litert",
    "executorch": "pip install numpy pillow torch executorch",
    "coreml": "pip install numpy pillow coremltools",
    "hf": "pip install transformers torch pillow",
}
_ONNX = (
    "import onnxruntime",
    'session = onnxruntime.InferenceSession(str(here / graph["file"]), providers=["CPUExecutionProvider"])\n'
    "said |= dict(zip(names, session.run(None, feed)))",
)
_CALLS = {
    "onnx": _ONNX,
    "web": _ONNX,
    "openvino": (
        "import openvino",
        'model = openvino.Core().compile_model(str(here / graph["file"]), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})\n'
        "said |= dict(zip(names, model(feed).values()))",
    ),
    "litert": (
        "from ai_edge_litert.interpreter import Interpreter",
        'runner, found = Interpreter(str(here / graph["file"])).get_signature_runner(), []\n'
        "for place in range(len(next(iter(feed.values())))):  # the file takes one row\n"
        '    row = {one["name"]: feed[one["name"]][[place]].astype(one["dtype"]) for one in graph["inputs"]}\n'
        "    found.append(runner(**row))\n"
        "said |= {name: np.concatenate([one[name] for one in found]) for name in names}",
    ),
    "executorch": (
        "import torch\nfrom executorch.runtime import Runtime",
        'program, found = Runtime.get().load_program(here / graph["file"]), []\n'
        'takes, method = json.loads(program.load_method("takes").execute([])[0]), program.load_method("forward")\n'
        "most = next(iter(takes.values()))[0][0]  # the rows that memory is planned for\n"
        "for start in range(0, len(next(iter(feed.values()))), most):\n"
        "    rows = [torch.tensor(feed[name][start : start + most]) for name in takes]\n"
        "    found.append([values.numpy() for values in method.execute(rows)])\n"
        "said |= {name: np.concatenate(values) for name, values in zip(names, zip(*found))}",
    ),
    "coreml": (
        "import coremltools",
        'model = coremltools.models.MLModel(str(here / graph["file"]))\n'
        'found = model.predict({one["name"]: feed[one["name"]].astype(one["dtype"]) for one in graph["inputs"]})\n'
        "said |= {name: np.asarray(found[name]) for name in names}",
    ),
}


def run_script(target: str, steps: Mapping[str, Any], kind: str = "outputs") -> str:
    """The text of run.py for a target, and for what the student is: a `writer` of texts, or another."""
    if target == "hf":
        sees = any(one["kind"] == "image" for one in steps["inputs"].values())
        name = "run_hf_writer.py.j2" if kind == "writer" and sees else "run_hf.py.j2"
        return filled(name, example=example_words(target, steps))
    if kind == "writer":
        return filled("run_writer.py.j2", example=example_words(target, steps))
    imports, call = _CALLS[target]
    return filled(
        "run.py.j2",
        example=example_words(target, steps),
        runtime=INSTALL[target].split()[-1],
        texts=any(one["kind"] == "text" for one in steps["inputs"].values()),
        imports=imports,
        call="\n".join(" " * 8 + line for line in call.splitlines()),
    )


def example_words(target: str, steps: Mapping[str, Any]) -> str:
    """What to write behind run.py: one item an input. transformers tells them apart by their order alone."""
    items = {"image": "image.png", "text": '"a text"', "array": "array.npy"}
    words = {name: items[one["kind"]] for name, one in steps["inputs"].items()}
    if len(words) == 1 or target == "hf":
        return " ".join(words.values())
    return " ".join(f"{name}={word}" for name, word in words.items())


def filled(template: str, **values: Any) -> str:
    """A file of `templates/` with its places filled in."""
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader(__package__), undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False
    )
