"""Image and text: the student matches each image with the texts of the batch as softly as its teacher does."""

from collections.abc import Sequence

from torch import Tensor

from ....errors import StageError
from ..precision import alike, full_precision
from ..relative_entropy import relative_entropy
from ..unit import unit


@full_precision
def clip_affinity(
    image: Tensor,
    text: Tensor,
    target_image: Tensor,
    target_text: Tensor,
    *,
    scale: float | Tensor,
    target_scale: float | Tensor,
) -> Tensor:
    """KL of the teacher's row of image-text similarities to the student's, mean of both directions, (B,).

    image, text (B, d) of the student, target_image, target_text (B, d') of the teacher, in any lengths; scales multiply
    the cosines (exp of the logit scale). It is OpenCLIP's distillation loss, TinyCLIP's affinity mimicking (Wu et al.
    2023, arXiv 2309.12314) and CLIP-KD's CRD (arXiv 2307.12732), all in the KL form: 0 means matched. CLIP-KD's code
    multiplies by the logarithm of a scale where its exponential is meant; here it is the exponential.
    For several teachers (MobileCLIP, arXiv 2311.17049) take the mean of the losses: its gradient is that of the KL to
    the mean of their softmaxes.
    """
    found = _affinity(image, text, scale, "student")
    wanted = _affinity(target_image, target_text, target_scale, "teacher")
    if found.shape != wanted.shape:
        raise StageError(f"clip_affinity: the student has {len(found)} rows, the teacher {len(wanted)}")
    by_image = relative_entropy(wanted.log_softmax(dim=-1), found.log_softmax(dim=-1))
    by_text = relative_entropy(wanted.T.log_softmax(dim=-1), found.T.log_softmax(dim=-1))
    return (by_image + by_text) / 2


def several_affinity(
    image: Tensor,
    text: Tensor,
    targets: Sequence[tuple[Tensor, Tensor, float]],
    *,
    scale: float | Tensor,
) -> Tensor:
    """Mean of `clip_affinity` over teachers, each (image, text, scale); (B,). MobileCLIP, arXiv 2311.17049."""
    if not targets:
        raise StageError("several_affinity: the list of teachers is empty")
    parts = [clip_affinity(image, text, i, t, scale=scale, target_scale=s) for i, t, s in targets]
    return sum(parts[1:], start=parts[0]) / len(parts)


def _affinity(image: Tensor, text: Tensor, scale: float | Tensor, who: str) -> Tensor:
    """(B, B) scaled cosines, images down and texts across."""
    if image.ndim != 2 or image.shape != text.shape:
        raise StageError(
            f"clip_affinity: the {who}'s image is {tuple(image.shape)} and its text {tuple(text.shape)}; both must be "
            "(B, d)"
        )
    left, right = alike(image, text)
    return scale * (unit(left) @ unit(right).T)
