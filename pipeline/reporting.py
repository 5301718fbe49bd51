"""The report as the configuration asks for it, from what is on disk."""

from .config import Config
from .console import console
from .jobs import open_joined, open_set
from .report.terminal import ladder_table, problem_lines, result_table, sets_table
from .report.write import JSON_FILE, PAGE_FILE, write_report
from .students.generations import check_links


def report_run(config: Config) -> None:
    """Write report.html and report.json, print the table and where the page is."""
    check_links(config)
    cache, _ = open_joined(config)
    main, *others = config.evaluate.named_sets
    held_out, samples = open_set(config, main)
    images = samples if "image" in samples.kinds else None
    report = write_report(config, cache, held_out, images, {name: open_set(config, name)[0] for name in others})
    for table in (result_table(report), ladder_table(report), sets_table(report)):
        if table is not None:
            console.print(table)
    for line in problem_lines(report):
        console.print(line, style="yellow", markup=False)
    console.print(f"[green]report[/green] {config.run / PAGE_FILE} (figures: {config.run / JSON_FILE})", soft_wrap=True)
