"""Scenes of the agent's little world: six icons on a grid of 4 x 4 cells, and an instruction with one right answer.

Three kinds: `name` (click the red apple), `relation` (two dogs, click the one left of the key), `question` (what is
above the pizza). Left of, right of, above and below mean the very next cell. A scene follows from its number.
"""

from dataclasses import dataclass

from ..emoji.drawing_lots import choose, draw, shuffled

GRID, ICONS_OF_A_SCENE, SHIFT = 4, 6, 2  # cells a side; icons; an icon is at most SHIFT pixels off its cell's centre
KINDS = ("name", "relation", "question")
# What an icon is called: its name in the packages.
ICONS = {
    "red apple": "red-apple",
    "green apple": "green-apple",
    "red heart": "red-heart",
    "blue heart": "blue-heart",
    "green heart": "green-heart",
    "red book": "closed-book",
    "blue book": "blue-book",
    "dog": "dog-face",
    "cat": "cat-face",
    "frog": "frog",
    "pig": "pig-face",
    "key": "key",
    "pizza": "pizza",
    "star": "star",
    "moon": "crescent-moon",
    "tree": "deciduous-tree",
    "car": "automobile",
    "bus": "bus",
    "house": "house",
    "clock": "alarm-clock",
    "umbrella": "umbrella",
    "balloon": "balloon",
    "banana": "banana",
    "mushroom": "mushroom",
}
ANSWERS = tuple(ICONS)
_STEPS = {"left of": (-1, 0), "right of": (1, 0), "above": (0, -1), "below": (0, 1)}
_VERBS = ("click", "tap", "press", "find")
_ASKS = ("what is", "name the thing")
WORDS = sorted({word for phrase in (*ANSWERS, *_STEPS, *_VERBS, *_ASKS, "the") for word in phrase.split()})


@dataclass(frozen=True, slots=True)
class Scene:
    """`icons`: the number of the icon in a cell, row by row, or None. `shifts`: pixels (x, y) off the cell's centre.
    `cell` is where to click, and `answer` the number of the icon that lies there."""

    kind: str
    instruction: str
    icons: tuple[int | None, ...]
    shifts: tuple[tuple[int, int], ...]
    cell: int
    background: int

    @property
    def answer(self) -> int:
        found = self.icons[self.cell]
        assert found is not None
        return found


def make_scene(split: str, number: int) -> Scene:
    """The scene `number` of a split; the kinds take turns."""
    kind = KINDS[number % len(KINDS)]
    lot = ("agent", split, number)
    cells = shuffled(range(GRID * GRID), *lot, "cells")
    anchor = next(cell for cell in cells if _neighbours(cell))
    relation, cell = choose(_neighbours(anchor), *lot, "relation")
    others = [other for other in cells if other not in (anchor, cell)][: ICONS_OF_A_SCENE - 2]
    kinds = shuffled(range(len(ANSWERS)), *lot, "icons")
    icons: list[int | None] = [None] * (GRID * GRID)
    for place, icon in zip([cell, anchor, *others], kinds, strict=False):
        icons[place] = icon
    if kind == "relation":  # the same icon somewhere else, so that its name alone does not tell
        icons[others[0]] = icons[cell]
    shifts = [(draw(2 * SHIFT + 1, *lot, "x", c) - SHIFT, draw(2 * SHIFT + 1, *lot, "y", c) - SHIFT) for c in range(16)]
    wanted, beside = ANSWERS[kinds[0]], ANSWERS[kinds[1]]
    text = {
        "name": f"{choose(_VERBS, *lot, 'verb')} the {wanted}",
        "relation": f"{choose(_VERBS, *lot, 'verb')} the {wanted} {relation} the {beside}",
        "question": f"{choose(_ASKS, *lot, 'ask')} {relation} the {beside}",
    }
    return Scene(kind, text[kind], tuple(icons), tuple(shifts), cell, draw(4, *lot, "background"))


def _neighbours(cell: int) -> list[tuple[str, int]]:
    """What lies (left of, above, ...) a cell: relation and cell, inside the grid."""
    x, y = cell % GRID, cell // GRID
    found = [(name, x + dx, y + dy) for name, (dx, dy) in _STEPS.items()]
    return [(name, b * GRID + a) for name, a, b in found if 0 <= a < GRID and 0 <= b < GRID]
