"""Loader workers outlive signals that are for all processes, and always leave when their parent does."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody can say who sent a signal")

WORKER = """
import multiprocessing, signal, subprocess
from torch.utils.data import DataLoader
from teachercache.stages.worker_signals import held_back, outlive_signals

kept = []

def hear(numbers):
    signal.signal(signal.SIGTERM, lambda number, frame: None)  # a polite stop: note it, and end the batch in work
    with held_back():
        batches = iter(DataLoader(range(10), None, num_workers=1, worker_init_fn=outlive_signals))
    kept.append(batches)  # alive when the process ends, as in the frames of an error
    assert next(batches) == 0
    worker = batches._workers[0].pid
    for number in numbers:
        subprocess.run(["sh", "-c", f"kill -{int(number)} {worker}"], check=True)
    assert [int(next(batches)) for _ in range(5)] == [1, 2, 3, 4, 5]  # not to the end: the worker stays

for numbers in ((), (signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM)):
    process = multiprocessing.get_context("fork").Process(target=hear, args=(numbers,))
    process.start()
    process.join(60)
    print("code", process.exitcode)
    process.kill()
"""


def test_workers_outlive_a_signal_to_all_and_leave_with_a_parent_that_forgets_them() -> None:
    done = subprocess.run([sys.executable, "-c", WORKER], capture_output=True, text=True, timeout=200)
    assert done.stdout == "code 0\n" * 2, done.stdout + done.stderr
