"""Runs one function in forked children and kills them (SIGKILL) at random moments until enough have died.

A script, so that the fork happens in a process without pytest's threads: python killing.py MODULE KILLS SEED ARGS...
MODULE is a file with `prepare(*args) -> state`, `work(state, round)` and `compare(state, rounds)`. A round ends when a
child comes through; then the next round starts from nothing, until KILLS children were killed in all.
"""

import importlib.util
import os
import random
import signal
import sys
import time
from types import ModuleType


def load(path: str) -> ModuleType:
    """Import a file by its path."""
    spec = importlib.util.spec_from_file_location("killed", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["killed"] = module
    spec.loader.exec_module(module)
    return module


def child(module: ModuleType, state: object, number: int) -> int:
    """Fork a child that does the work and leaves."""
    pid = os.fork()
    if pid == 0:
        try:
            module.work(state, number)
            os._exit(0)
        except BaseException as error:
            print(f"child failed: {type(error).__name__}: {error}", flush=True)
            os._exit(1)
    return pid


def main(path: str, kills: int, seed: int, *args: str) -> None:
    """Print `killed N in M rounds` at the end."""
    module = load(path)
    state = module.prepare(*args)
    rng = random.Random(seed)
    started = time.perf_counter()
    status = os.waitpid(child(module, state, 0), 0)[1]
    duration = time.perf_counter() - started
    assert status == 0, "the undisturbed run failed"
    killed, number = 0, 1
    while killed < kills:
        pid = child(module, state, number)
        time.sleep(rng.uniform(0, duration))
        os.kill(pid, signal.SIGKILL)
        status = os.waitpid(pid, 0)[1]
        if os.WIFSIGNALED(status):
            killed += 1
        elif os.WEXITSTATUS(status) == 0:
            number += 1
        else:
            sys.exit("a child failed by itself")
    assert os.waitpid(child(module, state, number), 0)[1] == 0, "the last round could not be finished"
    module.compare(state, number)
    print(f"killed {killed} in {number} rounds, {duration:.2f} s undisturbed")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])
