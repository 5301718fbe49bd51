"""Runs the work of killing.py's modules in three forked children at once: python racing.py MODULE ROUNDS ARGS...

MODULE is a file with `prepare(*args) -> state`, `work(state, round)` and `compare(state, rounds)`; round 0 is worked
through alone. `begin(state, round)`, where there is one, is done before the children race.
"""

import os
import sys

from killing import child, load

_CHILDREN = 3


def main(path: str, rounds: int, *args: str) -> None:
    """Print `raced through N rounds` at the end."""
    module = load(path)
    state = module.prepare(*args)
    for number in range(rounds + 1):
        if hasattr(module, "begin"):
            module.begin(state, number)
        pids = [child(module, state, number) for _ in range(_CHILDREN if number else 1)]
        left = [os.waitpid(pid, 0)[1] for pid in pids]
        assert left == [0] * len(pids), f"round {number}: a child failed"
    module.compare(state, rounds)
    print(f"raced through {rounds} rounds")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
