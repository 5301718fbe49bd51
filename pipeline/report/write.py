"""Writes report.json and report.html of a run, each whole or not at all."""

import json
from collections.abc import Mapping

from ...cache import Cache
from ...stages.student.files.durable_files import write_whole
from ...stages.student.stream.join import Join
from ..config import Config
from .collect import Report, collect_report, report_json
from .page import render_page

JSON_FILE = "report.json"
PAGE_FILE = "report.html"


def write_report(
    config: Config,
    cache: Cache,
    held_out: Cache,
    images: Join | None = None,
    others: Mapping[str, Cache] | None = None,
) -> Report:
    """Collect the report of `config.run` and write it there.

    `cache` and `held_out` are the run's open caches, `others` those of its other held-out sets by name; without
    `images`, the held-out samples, the sheet of disagreements is left out. The same files give the same bytes. Raises
    ReportError naming what is missing and the command that makes it, StageFailed when the disk refuses.
    """
    report = collect_report(config, cache, held_out, images, others)
    text = json.dumps(report_json(report), indent=1, ensure_ascii=False, allow_nan=False)
    page = render_page(report)
    write_whole(config.run / JSON_FILE, text.encode() + b"\n")
    write_whole(config.run / PAGE_FILE, page.encode())
    return report
