"""The report as the configuration asks for it, from what is on disk."""

from .config import Config
from .console import console
from .jobs import open_joined
from .report.terminal import problem_lines, result_table
from .report.write import JSON_FILE, PAGE_FILE, write_report


def report_run(config: Config) -> None:
    """Write report.html and report.json, print the table and where the page is."""
    cache, _ = open_joined(config)
    held_out, images = open_joined(config, held_out=True)
    report = write_report(config, cache, held_out, images)
    console.print(result_table(report))
    for line in problem_lines(report):
        console.print(line, style="yellow", markup=False)
    console.print(f"[green]report[/green] {config.run / PAGE_FILE} (figures: {config.run / JSON_FILE})", soft_wrap=True)
