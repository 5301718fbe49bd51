"""Finds a teacher's folder and fingerprints what is in it, without loading anything.

Only safetensors weights are accepted: nothing pickled is read.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xxhash

from ..errors import StageError
from .spec import TeacherSpec

_CHUNK = 1 << 22
_PATTERNS = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]
_COMMIT = re.compile(r"[0-9a-f]{40}")
_TOKENIZER = (
    "chat_template*",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "*.model",
)


def teacher_folder(spec: TeacherSpec) -> Path:
    """The local folder of the teacher; a hub model is fetched at its pinned revision.

    Raises StageError when it is neither a folder nor a hub name that can be had.
    """
    model = str(spec.model)
    folder = Path(model)
    if folder.is_dir():
        return folder
    if spec.revision is None:
        raise StageError(
            f"teacher.model: {model} is not a folder; for a hub model also set teacher.revision to a commit, "
            "so that the same weights are heard every time"
        )
    if spec.trust_remote_code and not _COMMIT.fullmatch(spec.revision):
        raise StageError(
            f"teacher.revision: {spec.revision!r} is no commit (40 hexadecimal digits); with trust_remote_code "
            "the code that was read must be the code that is run"
        )
    from huggingface_hub import snapshot_download

    patterns = [*_PATTERNS, "*.py"] if spec.trust_remote_code else _PATTERNS
    try:
        return Path(snapshot_download(model, revision=spec.revision, allow_patterns=patterns))
    except Exception as error:  # the hub client raises many kinds; each means that the model cannot be had
        raise StageError(
            f"teacher.model: {model} at revision {spec.revision} cannot be had from the hub ({error}); "
            "check the name, the revision and the network, or point teacher.model at a local folder"
        ) from error


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a model folder. Raises StageError when there is none."""
    files = sorted(folder.glob("*.safetensors"))
    if not files or not (folder / "config.json").is_file():
        raise StageError(
            f"teacher.model: {folder} needs config.json and *.safetensors, as save_pretrained writes them "
            "(pickled weights are not read)"
        )
    return files


def model_config(folder: Path) -> dict[str, Any]:
    """What config.json says. Raises StageError when it cannot be read."""
    try:
        content = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError) as error:
        raise StageError(f"teacher.model: {folder}/config.json cannot be read ({error})") from error
    if not isinstance(content, dict):
        raise StageError(f"teacher.model: {folder}/config.json holds no settings")
    return content


def teacher_fingerprint(spec: TeacherSpec, folder: Path, family: str) -> dict[str, Any]:
    """What decides the teacher's numbers: weights, configuration, preprocessing, precision. JSON."""
    images = family == "image-classifier"
    return {
        "weights": _hash_files(weight_files(folder)),
        "config": _json_digest(folder / "config.json", drop=("transformers_version", "_name_or_path")),
        "preprocessing": _json_digest(folder / "preprocessor_config.json") if images else _processors(folder),
        "revision": spec.revision,
        "dtype": spec.dtype,
        "autocast": spec.autocast,
        **({} if images else _reading(spec, folder, family)),
    }


def _reading(spec: TeacherSpec, folder: Path, family: str) -> dict[str, Any]:
    """What decides which numbers a teacher reads. Nothing for image classifiers, whose caches are older than this."""
    tokenizer = sorted({path for pattern in _TOKENIZER for path in folder.glob(pattern) if path.is_file()})
    return {
        "family": family,
        "inputs": dict(spec.inputs),
        "tokenizer": _hash_files(tokenizer) if tokenizer else None,
        "max_tokens": spec.max_tokens,
        "truncate": spec.truncate,
        **({"prompt": spec.prompt} if family == "vision-language" else {}),
        **({"code": _hash_files(sorted(folder.rglob("*.py")))} if spec.trust_remote_code else {}),
    }


def _processors(folder: Path) -> list[str]:
    names = ("preprocessor_config.json", "processor_config.json")
    return [_json_digest(folder / name) for name in names if (folder / name).is_file()]


def _hash_files(files: list[Path]) -> str:
    state = xxhash.xxh3_128()
    for path in files:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                state.update(chunk)
    return state.hexdigest()


def _json_digest(path: Path, drop: tuple[str, ...] = ()) -> str:
    try:
        content: Mapping[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise StageError(
            f"teacher.model: {path} is missing; save the teacher's image processor beside its weights"
        ) from None
    except ValueError as error:
        raise StageError(f"teacher.model: {path} is not JSON ({error})") from error
    kept = {key: value for key, value in content.items() if key not in drop}
    return xxhash.xxh3_128_hexdigest(json.dumps(kept, sort_keys=True).encode())
