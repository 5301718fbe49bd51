"""The cost ledger in words: its lines, and what its arithmetic says."""

from dataclasses import dataclass

from .ledger import KINDS, Ledger
from .quantities import MISSING, duration, size


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the ledger: what, how much, and how it is known."""

    name: str
    value: str
    kind: str
    note: str = ""


def ledger_entries(ledger: Ledger) -> list[Entry]:
    """The ledger for people, each line with how it is known."""
    rate = ledger.rows_per_teacher_second
    lines = [
        ("teacher_seconds", "Teacher time, one pass", duration(ledger.teacher_seconds), "device, from receipts"),
        (
            "build_seconds",
            "Time to build the cache",
            duration(ledger.build_seconds),
            "with reading and writing, without loading",
        ),
        ("waiting_for_data", "Of it waiting for data", duration(ledger.waiting_for_data), "samples read and prepared"),
        ("waiting_for_writer", "Of it waiting for the writer", duration(ledger.waiting_for_writer), "a slow disk"),
        ("build_limit", "The limit of the build", ledger.build_limit or MISSING, "teacher, loader or writer"),
        ("cache_rows", "Rows in the cache", f"{ledger.cache_rows:,}", ""),
        ("cache_bytes", "Size of the cache", size(ledger.cache_bytes), ""),
        ("rows_per_teacher_second", "Teacher's speed", MISSING if rate is None else f"{rate:,.0f} rows/s", ""),
        (
            "trials",
            "Trials trained",
            f"{ledger.trials}",
            f"of {ledger.students} student{'' if ledger.students == 1 else 's'}: student × arm × seed",
        ),
        ("reading_trials", "Trials that read the teacher", f"{ledger.reading_trials}", "labels only needs no teacher"),
        ("training_seconds", "Training time", duration(ledger.training_seconds), "sum of the trials' own steps"),
        ("rows_per_trial", "Rows a trial sees", f"{ledger.rows_per_trial:,}", "steps × batch size"),
        (
            "beside_each_seconds",
            "Teacher time without the cache",
            duration(ledger.beside_each_seconds),
            "a teacher beside each of those trials, at the speed above",
        ),
        (
            "beside_fleet_seconds",
            "The same, shared",
            duration(ledger.beside_fleet_seconds),
            "if one teacher served all trials on the same batches",
        ),
    ]
    if ledger.job_restarts is not None:
        again = f"all starts of all tasks, {ledger.job_restarts} restarts and what they lost included"
        lines.append(("gpu_seconds", "GPU time of the jobs", duration(ledger.gpu_seconds), again))
        lines.append(("job_seconds", "Time of the jobs' tasks", duration(ledger.job_seconds), "with loading"))
    return [Entry(name, value, KINDS[key], note) for key, name, value, note in lines]


def break_even_words(ledger: Ledger) -> str:
    """From how many trials on the cache pays off, with its arithmetic."""
    ratio = ledger.cache_rows / ledger.rows_per_trial
    trials = (
        "one trial that reads it"
        if ledger.break_even_trials <= 1
        else f"{ledger.break_even_trials:,} trials that read it"
    )
    text = (
        f"{ledger.cache_rows:,} cached rows ÷ {ledger.rows_per_trial:,} rows a trial = {ratio:.2f}: "
        f"the cache has paid for itself after {trials}."
    )
    once, shared = ledger.teacher_seconds, ledger.beside_fleet_seconds
    if not once or not shared:
        return text
    less = "more" if shared > once else "less"
    durations = f"{duration(shared)} against {duration(once)}"
    return f"{text} One teacher shared by all trials of this run would have cost {less}: {durations}."
