"""`teachercache run`: all stages in order."""

from ..config import load_config, read_again
from ..console import console
from ..interruption import interruptible
from ..students.together import refuse_ranks
from .arguments import ConfigPath, LaunchDryRun, LaunchName, chosen_launch


def run(config: ConfigPath, launch: LaunchName = None, dry_run: LaunchDryRun = False) -> None:
    """Build the caches, train every student, evaluate them, and write the report.

    Example: [bold]teachercache run recipe.yaml[/bold]

    The same command again continues where it stopped, and does nothing twice.
    """
    refuse_ranks("run", "build the cache first, then start `train` with torchrun")
    loaded = load_config(config)
    elsewhere = chosen_launch(loaded, launch, dry_run)
    if elsewhere is not None:
        from ..launching.launch import launch_command
        from ..students.studies import refuse_division

        refuse_division(loaded)
        launch_command(loaded, config, elsewhere, "run", dry_run)
        return
    from ..building import build_caches
    from ..dry_run.first_look import look_at_students
    from ..evaluating import evaluate_run
    from ..reporting import report_run
    from ..students.generations import check_links, generations
    from ..students.gpu_memory import claim_share, note_peaks
    from ..students.training import chosen_trials, train_trials

    look_at_students(loaded)
    parts = generations(loaded)
    check_links(loaded)
    with interruptible() as stop:
        for number, part in enumerate(parts, 1):
            which = f" of generation {number} of {len(parts)}" if len(parts) > 1 else ""
            console.rule(f"1 of 4  teacher{which}")
            build_caches(part, stop)
            console.rule(f"2 of 4  students{which}")
            claim_share(loaded, "train", stop)
            note_peaks(part, train_trials(part, chosen_trials(part), stop))
        loaded = read_again(loaded)  # with what its studies have chosen
        if parts[-1].teachers != loaded.teachers:  # the last generation is heard too, where it is a teacher
            build_caches(loaded, stop)
        console.rule("3 of 4  evaluation")
        claim_share(loaded, "evaluate", stop)
        evaluate_run(loaded, stop)
        console.rule("4 of 4  report")
        report_run(loaded)
