"""`teachercache init`: a commented YAML to start from, and its schema for editors."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from ..config import Config
from ..console import console
from ..errors import ConfigError

SCHEMA_NAME = "teachercache.schema.json"


def init(
    path: Annotated[Path, typer.Argument(metavar="CONFIG", help="the file to write")] = Path("recipe.yaml"),
    force: Annotated[bool, typer.Option("--force", help="replace a file that is there")] = False,
) -> None:
    """Write a commented starter YAML, and beside it the JSON schema that lets editors complete and check it.

    Example: [bold]teachercache init recipe.yaml[/bold]
    """
    if path.exists() and not force:
        raise ConfigError(f"{path} is there already; choose another name, or say --force to replace it")
    starter = (files(__package__).joinpath("starter.yaml")).read_text(encoding="utf-8")
    schema = path.parent / SCHEMA_NAME
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        schema.write_text(json.dumps(Config.model_json_schema(), indent=1) + "\n", encoding="utf-8")
        path.write_text(f"# yaml-language-server: $schema={SCHEMA_NAME}\n{starter}", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror})") from error
    console.print(f"[green]wrote[/green] {path} and {schema}; edit it, then run: teachercache check {path}")
