"""The whole chain on shipped recipes: what students keep of their teacher once they are exported, and how much faster.

    python tests/benchmarks/run.py shipping            # trains and exports them first: minutes
    python tests/benchmarks/shipping.py RUN.yaml       # of a run that stands, whose students are exported

The bars are of a student at a tenth of the teacher's parameters: 85 % of the teacher's primary figure kept, and three
times its speed at a batch of one, on one thread, by CPU time. What is kept is judged on the main held-out set, of an
exported file by what that file says.
"""

import sys
from collections.abc import Mapping, Sequence
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from contest import Contender, Outcome, Watch, contest
from figure import Figure, compared
from machine import describe_machine
from shipping_forms import Answer, Form, student_forms, teacher_forms
from shipping_runs import TENTHS, Size, make_run
from table import print_table, wide_console
from teachers import ROOT

from teachercache.pipeline.config import Config, load_config
from teachercache.pipeline.evaluating import open_sets
from teachercache.stages.deploy.evaluation.candidate import Candidate, read_candidate
from teachercache.stages.deploy.evaluation.giving import giver
from teachercache.stages.deploy.evaluation.held_out import HeldOut
from teachercache.stages.deploy.evaluation.record import read_record
from teachercache.stages.deploy.metrics.kinds import Context, columns_of, join_columns, measured_of
from teachercache.stages.student.inputs.spec import asked_sources

FULL = Size(steps=None, shards=None, own=True, rounds=15, calls=20)
TINY = Size(steps=2, shards="0000", own=False, rounds=1, calls=1)
EXPORTED = {"onnx": "ONNX", "onnx-int8": "ONNX int8"}
KEPT, FASTER, TENTH = 0.85, 3.0, 0.105
_BATCH = 64


def measure(tiny: bool, scratch: Path) -> list[Figure]:
    """The figures of this benchmark."""
    size = TINY if tiny else FULL
    chosen = TENTHS if size.own else {"agent": TENTHS["agent"]}
    lengths = {name: (*([1] if size.own else []), tenth.longer) for name, tenth in chosen.items()}
    files = [make_run(name, times, size, scratch) for name, several in lengths.items() for times in several]
    return [figure for file in files for figure in figures_of(file, size, scratch)]


def figures_of(file: Path, size: Size, scratch: Path) -> list[Figure]:
    """Of all students of a run that are exported; `file` is its YAML."""
    with chdir(ROOT):
        config = load_config(file)
        found = sorted((config.run / "students").glob("*/distilled/seed-0"))
        candidates = [read_candidate(folder) for folder in found if (folder / "export").is_dir()]
        shapes = candidates[0].saved.shape.completed(candidates[0].saved.student).inputs
        teacher = teacher_forms(config, shapes, scratch)
        students = {one.folder: student_forms(one, EXPORTED) for one in candidates}
        held_out = open_sets(config).main
        speed = timed([*teacher, *(form for forms in students.values() for form in forms)], size)
        about = f"{config.name.split(':')[0]}, {config.train.steps} steps"
        return [
            figure
            for one in candidates
            for form in students[one.folder]
            for figure in _figures(about, config, held_out, one, form, teacher, speed)
        ]


def _figures(
    about: str,
    config: Config,
    held_out: HeldOut,
    candidate: Candidate,
    form: Form,
    teacher: Sequence[Form],
    speed: Outcome,
) -> list[Figure]:
    """What one form of one student keeps, and its speed beside the teacher's two forms."""
    name, records = config.evaluate.primary_figure, [read_record(config.run / "teacher"), read_record(candidate.folder)]
    whole = float(records[0]["figures"][name]["value"])  # type: ignore[index]
    sizes = [record["parameters"]["total"] for record in records]  # type: ignore[index]
    shares = sizes[1] / sizes[0], form.bytes / teacher[1].bytes
    note = f"{sizes[1]:,} parameters ({shares[0]:.1%}), {form.bytes:,} bytes ({shares[1]:.1%})"
    own, small = primary(config, held_out, candidate, form.answer), shares[0] <= TENTH
    kept = Figure(
        f"{about}, {form.name}: {name} kept",
        f"{own:.1%}",
        f"teacher: {whole:.1%}",
        own / whole,
        bar=f">= {KEPT:g}" if small else "",
        reached=own / whole >= KEPT if small else None,
        note=note,
    )
    bar = FASTER if small else None
    rows = [
        compared(f"{about}, {form.name}: a pass", speed, form.name, one.name, "passes", bar, "cpu") for one in teacher
    ]
    return [kept, *rows]


def primary(config: Config, held_out: HeldOut, candidate: Candidate, answer: Answer) -> float:
    """The primary figure of what `answer` says of the main held-out set."""
    name = config.evaluate.primary_figure
    metric = next(one for one in held_out.metrics if name in one.figures)
    one = giver(candidate, held_out, torch.device("cpu"))
    feed = held_out.feed(asked_sources([(one.name, one.takes)]))
    pieces = []
    for batch in held_out.batches(_BATCH):
        given = one.inputs(held_out.inputs(feed, batch, torch.device("cpu")), len(batch.rows))
        pieces.append(columns_of(metric, answer(given), batch))
    value = measured_of(metric, join_columns(pieces), Context(held_out.class_names, {})).values[name]
    assert value is not None
    return value


def timed(forms: Sequence[Form], size: Size) -> Outcome:
    """One row at a time, on one thread, all in this process."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return contest({form.name: _contender(form, size.calls) for form in forms}, size.rounds)
    finally:
        torch.set_num_threads(threads)


def _contender(form: Form, calls: int) -> Contender:
    def run(watch: Watch) -> None:
        for _ in range(calls):
            form.answer(form.noise)

    return Contender(calls, run)


def main(words: list[str]) -> None:
    """The table of runs that stand, by their YAML files."""
    figures: Mapping[str, list[Figure]] = {}
    with TemporaryDirectory() as scratch:
        figures = {Path(word).stem: figures_of(Path(word), FULL, Path(scratch)) for word in words}
    print_table(wide_console(), describe_machine(), figures)


if __name__ == "__main__":
    main(sys.argv[1:])
