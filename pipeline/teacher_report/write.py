"""Writes the report on a teacher: a page, its figures as JSON, and the list of suspected labels."""

import json
import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ...cache import Cache
from ...stages.quality.quality import TeacherQuality
from ...stages.student.files.durable_files import write_whole
from ...stages.student.stream.join import Join
from ..report import quantities
from .figures import quality_panels
from .suspects import suspect_pictures, suspects_csv

_TEMPLATES = Path(__file__).parent / "templates"
_STYLE = Path(__file__).parents[1] / "report" / "templates" / "page.css"
PAGE_FILE, JSON_FILE, SUSPECTS_FILE = "teacher.html", "teacher.json", "suspects.csv"
PICTURES = 24


def write_teacher_report(folder: Path, title: str, quality: TeacherQuality, cache: Cache, images: Join | None) -> Path:
    """Write the three files into `folder`, each whole or not at all; the page's path. Without `images` no pictures."""
    pictures = [] if images is None else suspect_pictures(quality, cache, images, PICTURES)
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / JSON_FILE, json.dumps(quality.to_json(), indent=1, ensure_ascii=False).encode() + b"\n")
    write_whole(folder / SUSPECTS_FILE, suspects_csv(quality, cache.manifest.classes))
    context = {"title": title, "quality": quality, "pictures": pictures, "cache": cache}
    write_whole(folder / PAGE_FILE, _render(context, quality).encode())
    return folder / PAGE_FILE


def _render(context: dict[str, Any], quality: TeacherQuality) -> str:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update({name: getattr(quantities, name) for name in quantities.__all__}, trusted=Markup)
    panels, css = quality_panels(quality), _STYLE.read_text(encoding="utf-8")
    html = environment.get_template("teacher.html.j2").render(panels=panels, css=css, files=SUSPECTS_FILE, **context)
    return re.sub(r"\n\s*\n+", "\n", html)
