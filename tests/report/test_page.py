"""The page stands alone, is safe whatever the classes are called, and is the same for the same data."""

import io
import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from rich.console import Console

from teachercache.pipeline.report import Report, result_table, write_report
from teachercache.pipeline.report.errors import ReportError

HOSTILE = (
    "</text></svg><script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "$\\frac{1}{0}$ &amp; {{ 7*7 }}\n新",
)
VOID = {"meta", "img", "br", "use", "path", "rect", "circle", "line", "input", "link", "hr"}


class Page(HTMLParser):
    """Tags with their attributes, in order, and the tags that are open at the end."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def write(run: Any) -> tuple[Report, str]:
    report = write_report(run.config, run.cache, run.held_out, run.images)
    return report, (run.config.run / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory, make_run_in: Any) -> str:
    return write(make_run_in(tmp_path_factory.mktemp("page")))[1]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory, make_run_in: Any) -> str:
    return write(make_run_in(tmp_path_factory.mktemp("hostile"), classes=HOSTILE, name="<b>& run"))[1]


def test_nothing_is_fetched(html: str) -> None:
    page = Page(html)
    assert "http" not in html and "//" not in re.sub(r"base64,[^\"]*", "", html) and "@import" not in html
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "embed", "base"}
    addresses = [attrs[key] or "" for _, attrs in page.tags for key in ("src", "href", "srcset") if key in attrs]
    assert addresses
    assert all(address.startswith(("#", "data:image/png;base64,")) for address in addresses)
    assert all(place.startswith("#") for place in re.findall(r"url\(([^)]*)\)", html))


def test_every_reference_finds_its_id_and_ids_are_unique(html: str) -> None:
    page = Page(html)
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    used = [attrs["href"] or "" for _, attrs in page.tags if "href" in attrs]
    used += re.findall(r"url\((#[^)]*)\)", html)
    used += [f"#{attrs['aria-labelledby']}" for _, attrs in page.tags if "aria-labelledby" in attrs]
    assert {name[1:] for name in used} <= set(ids)


def test_every_tag_is_closed(html: str) -> None:
    assert Page(html).open == []


def test_every_picture_has_words_and_every_table_heads(html: str) -> None:
    page = Page(html)
    assert all(attrs.get("alt") for tag, attrs in page.tags if tag == "img")
    assert all(attrs.get("aria-label") for _, attrs in page.tags if attrs.get("role") in ("img", "region"))
    assert all(attrs.get("scope") for tag, attrs in page.tags if tag == "th")
    tables = sum(tag == "table" for tag, _ in page.tags)
    assert tables == 4 and sum(tag == "caption" for tag, _ in page.tags) == tables


def test_drawings_take_the_colours_of_the_page(html: str) -> None:
    drawings = re.findall(r"<svg viewBox=.*?</svg>", html, re.DOTALL)
    assert len(drawings) == 8
    for drawing in drawings:
        assert set(re.findall(r"#[0-9a-f]{6}", drawing)) <= {"#000000"}
        assert "var(--" in drawing and "<text" in drawing


def test_the_head_is_the_verdict(html: str) -> None:
    head = re.search(r"<h1>(.*?)</h1>", html)
    assert head is not None
    assert head.group(1).replace("\u00a0", " ") == (
        "Distillation gains 5.0 ± 1.0 points over labels only; the shuffled cache does not."
    )


def test_hostile_names_stay_text(hostile: str) -> None:
    page = Page(hostile)
    assert page.open == []
    assert not {tag for tag, _ in page.tags} & {"script", "b>& run"}
    assert not [attrs for _, attrs in page.tags if any(name.startswith("on") for name in attrs)]
    assert all((attrs.get("src") or "data:").startswith("data:") for tag, attrs in page.tags if tag == "img")
    words = "".join(page.text)
    assert "<script>alert(1)</script>" in words and "{{ 7*7 }}" in words and "<b>& run" in words


def test_the_same_data_gives_the_same_bytes(make_run: Any) -> None:
    run = make_run()
    files = [run.config.run / name for name in ("report.html", "report.json")]
    write(run)
    first = [path.read_bytes() for path in files]
    write(run)
    assert [path.read_bytes() for path in files] == first


def test_report_json_is_strict_json_with_every_number(make_run: Any) -> None:
    run = make_run()
    path = run.folder("shuffled-cache", 0) / "evaluation.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"nll": float("inf")}))
    report, _ = write(run)

    def refuse(word: str) -> None:
        raise AssertionError(word)

    content = json.loads((run.config.run / "report.json").read_text(), parse_constant=refuse)
    assert content["name"] == "trial run"
    assert len(content["students"]) == len(report.students) == 3
    assert content["students"][2]["metrics"]["nll"]["mean"] is None
    assert content["config"]["train"]["steps"] == 4


def test_without_images_the_page_has_no_sheet(make_run: Any) -> None:
    run = make_run()
    report = write_report(run.config, run.cache, run.held_out)
    assert report.sheet is None
    assert "<img" not in (run.config.run / "report.html").read_text()


def test_the_terminal_has_the_same_figures(make_run: Any) -> None:
    run = make_run(top1={"distilled": (0.75, 0.77, 0.73), "labels-only": (0.70, 0.71)})
    report = write_report(run.config, run.cache, run.held_out)
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(result_table(report))
    lines = [" ".join(line.split()) for line in console.export_text().splitlines()]
    assert "teacher 200 k 80.0" in lines
    assert "cnn 10.0 k" in lines
    assert "distilled 75.0 ± 2.0 +5.5 ± 0.7 93.8 85.0" in lines
    assert "labels only 2 of 3 seeds 70.5 ± 0.7 88.1 80.5" in lines


def test_what_a_sweep_has_set_stands_beside_the_student(make_run: Any) -> None:
    run = make_run()
    student = run.config.students[0].model_copy(update={"swept": {"optimizer.lr": 0.003, "args.widths": [4]}})
    config = run.config.model_copy(update={"students": (student, *run.config.students[1:])})
    for folder in run.config.run.glob("students/*/*/seed-*"):
        (folder / "trial.json").unlink(missing_ok=True)
    report = write_report(config, run.cache, run.held_out)
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(result_table(report))
    for shown in (console.export_text(), (config.run / "report.html").read_text()):
        assert "optimizer.lr 0.003, args.widths [4]" in shown


def test_models_that_were_measured_stand_in_the_report(make_run: Any) -> None:
    run = make_run()
    costs = {"bytes": 1000, "macs": 5, "cold_ms": 2.0, "peak_memory_mb": 69.0, "agreement": 0.99, "flips": 0.001}
    one = {"model": "a/<b>", "form": "onnx int8", "latency": {"1": {"p50_ms": 0.5, "p95_ms": 0.7}}, **costs}
    machine = {"threads": 1}
    bench = {"format": 1, "machine": machine, "set": {"name": "test", "samples": 5}, "false_positives": 0.01}
    bench |= {"teacher": {"accuracy": 0.9, "latency": None, "bytes": 4000}, "models": [{**one, "accuracy": 0.8}]}
    bench["models"] += [{**one, "model": "b", "accuracy": 0.8, "simulation": 0.9963}]
    (run.config.run / "bench.json").write_text(json.dumps(bench))
    report, html = write(run)
    assert report.bench == bench
    assert "As shipped" in html and "a/&lt;b&gt;" in html and "figure-bench" in html and "a/<b>" not in html
    assert "Simulation <i>%</i>" in html and "<td>99.6</td>" in html
    (run.config.run / "bench.json").write_text("{}")
    with pytest.raises(ReportError, match="is of another version"):
        write(run)
