"""The report of a run: numbers, figures, page and terminal table, from what is on disk. It measures nothing itself."""

from .collect import Report
from .errors import ReportError
from .terminal import problem_lines, result_table
from .write import JSON_FILE, PAGE_FILE, write_report

__all__ = ["JSON_FILE", "PAGE_FILE", "Report", "ReportError", "problem_lines", "result_table", "write_report"]
