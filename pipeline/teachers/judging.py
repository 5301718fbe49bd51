"""The report on a teacher as the configuration asks for it, from the training cache and the labels."""

from ..config import CacheConfig
from ..console import console
from ..jobs import open_training


def judge_run(config: CacheConfig, signal: str, others: tuple[str, ...], student_accuracy: float | None) -> None:
    """Write the report into <output>/teacher-report and print what to start from."""
    from ...stages.quality.quality import judge_teacher
    from ..teacher_report.write import SUSPECTS_FILE, write_teacher_report

    cache, samples = open_training(config)
    images = samples if config.source.image else None
    others = others or tuple(
        name for name in (f"{other}.{signal}" for other in config.teachers) if name in config.cache.signals
    )
    quality = judge_teacher(cache, signal, others, student_accuracy)
    page = write_teacher_report(config.run / "teacher-report", config.name, quality, cache, images)
    for one in quality.advice:
        console.print(f"[bold]{one.setting}[/bold] {one.value}: {one.reason}", soft_wrap=True)
    console.print(
        f"[green]teacher report[/green] {page} (suspected labels: {page.with_name(SUSPECTS_FILE)})", soft_wrap=True
    )
