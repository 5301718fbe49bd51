"""A run on a cluster as a test sees it: its command line in processes, its paces, what was heard, what was recorded."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cluster import PATIENCE, until


@dataclass(frozen=True)
class Bench:
    """A folder with data, a configuration and the paces of its teacher and students; `environment` for processes."""

    root: Path
    recipe: Path
    environment: dict[str, str]
    begun: list[subprocess.Popen[str]] = field(default_factory=list)

    def close(self) -> None:
        """End what a test that failed has left running."""
        for process in self.begun:
            with process:
                process.kill()

    def pace(self, teacher: float = 0.0, student: float = 0.0, rows: int | None = None) -> None:
        """Seconds that a pass of the teacher and a step of a student take from now on; after so many `rows` a process
        waits in the middle of its work until there is another pace, or a signal."""
        for name, words in (("teacher", f"{teacher} {'' if rows is None else rows}"), ("student", str(student))):
            file = self.root / f".{name}-pace"
            file.write_text(words)
            file.rename(self.root / f"{name}-pace")

    def begin(self, *words: object) -> subprocess.Popen[str]:
        """The command line in a process."""
        command = [sys.executable, "-m", "teachercache", *map(str, words)]
        process = subprocess.Popen(command, env=self.environment, stdout=-1, stderr=subprocess.STDOUT, text=True)
        self.begun.append(process)
        return process

    def call(self, *words: object, code: int = 0) -> str:
        """What the command line says; it must leave with `code`."""
        with self.begin(*words) as process:
            said = process.communicate(timeout=PATIENCE)[0]
        self.begun.remove(process)
        assert process.returncode == code, said
        return said

    @property
    def job(self) -> Path:
        """The folder of the newest job."""
        return sorted((self.root / "run" / "jobs").iterdir())[-1]

    def attempts(self, task: str, ending: str = "*") -> list[Path]:
        """Records of the starts of a task in the newest job, in their order; none before there is a job."""
        jobs = sorted((self.root / "run" / "jobs").glob("*"))
        return sorted((jobs[-1] / "attempts").glob(f"{task}.*.{ending}")) if jobs else []

    def heard(self) -> dict[int, int]:
        """Rows of each shard that a teacher has heard, over all processes."""
        lines = [line for file in (self.root / "heard").iterdir() for line in file.read_text().split()]
        return {shard: lines.count(str(shard)) for shard in sorted(map(int, set(lines)))}

    def working(self, task: str, rows: int = 1) -> int:
        """Wait until the newest start of a cache task has heard so many rows; its pid."""

        def pid() -> int | None:
            for process in self.begun:
                assert not process.poll(), process.communicate()[0]
            for path in self.attempts(task, "running")[-1:]:
                found = int(json.loads(path.read_text())["pid"])
                file = self.root / "heard" / str(found)
                if file.exists() and len(file.read_text().split()) >= rows:
                    return found
            return None

        until(lambda: pid() is not None)
        return pid() or 0

    def tasks(self) -> list[dict[str, Any]]:
        """What `teachercache jobs --json` says of each task."""
        found: list[dict[str, Any]] = json.loads(self.call("jobs", self.recipe, "--json"))["tasks"]
        return found


MakeBench = Callable[..., Bench]
