"""Which of the trials that wait fit into a GPU's memory together. A pure function of figures.

It refuses to keep a trial out whose need nobody knows, or that is alone: these are tried, and one that finds no memory
waits for the next wave.
"""

from collections.abc import Sequence


def fitting(needs: Sequence[int | None], room: int | None, at_once: int) -> list[int]:
    """Numbers, ascending, of those that train together: the first, and in their order those that fit beside it.

    `needs` are bytes a trial, None where nobody knows them (it counts as nothing); `room` the bytes that there are,
    None for a device whose memory nobody counts; `at_once` how many may be together at most.
    """
    chosen: list[int] = []
    taken = 0
    for number, need in enumerate(needs):
        if len(chosen) == at_once:
            break
        if not chosen or room is None or need is None or taken + need <= room:
            chosen.append(number)
            taken += need or 0
    return chosen
