"""Pictures that are not shipped, for the teacher alone: more concepts, and known ones in two more styles.

It leaves out the held-out pictures, the unseen style, and every family of which a concept is new.
"""

from pathlib import Path

import numpy as np
import torch

from ..emoji.art import FURTHER_STYLES, SEEN, STYLES, UNSEEN, read_style
from ..emoji.concepts import in_every_seen_style, read_concepts
from .make_samples import captions, picture, split_concepts
from .retrieval import Pairs


def further_pairs(packages: Path) -> Pairs:
    """Known concepts in the further styles, and concepts of no split in these and the seen styles."""
    styles = {name: read_style(name, packages) for name in (*STYLES, *FURTHER_STYLES)}
    concepts = in_every_seen_style(read_concepts(packages, styles["noto"]), styles)
    split = split_concepts(concepts, styles[UNSEEN])
    known, new = set(split.known), {concept.family for concept in split.new}
    found = []
    for concept in concepts:
        if concept in known or concept.family not in new:
            shown = tuple(FURTHER_STYLES) if concept in known else (*SEEN, *FURTHER_STYLES)
            found += [(concept, styles[name]) for name in shown if concept.icon in styles[name].names]
    images = np.stack([picture(concept, style) for concept, style in found])
    groups = torch.full((len(found),), -1)
    return Pairs(torch.from_numpy(images), [captions(concept) for concept, _ in found], groups)


def joined(first: Pairs, second: Pairs) -> Pairs:
    """Both, one after the other."""
    return Pairs(
        torch.cat([first.images, second.images]),
        [*first.captions, *second.captions],
        torch.cat([first.groups, second.groups]),
    )
