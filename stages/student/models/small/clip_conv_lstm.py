"""A small CLIP: a convolutional image tower and an LSTM text tower, projected into one space with a learnt scale.

Outputs: `image_embeds`, `text_embeds` (B, projection), un-normalised; `logits_per_image`, `logits_per_text` (B, B).
"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from ....errors import StageError
from ...inputs.shape import InputShape
from .convolutions import Convolutions
from .given import check_names, check_stride, last_real, one_input, real_places, refuse_others

_WHO = "clip-conv-lstm"
_OUTPUTS = ("image_embeds", "text_embeds", "logits_per_image", "logits_per_text")
LARGEST = math.log(100.0)  # of the learnt scale (CLIP, arXiv 2103.00020, section 2.5)


class ClipConvLstm(nn.Module):
    """forward({image: (B, C, H, W), text: ids (B, T) int64, its mask}) -> the outputs above."""

    def __init__(
        self, image: str, text: str, vision: nn.Module, words: nn.Embedding, lstm: nn.LSTM, projections: nn.ModuleDict
    ) -> None:
        super().__init__()
        self._image, self._text = image, text
        self.vision, self.words, self.lstm, self.projections = vision, words, lstm, projections
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        images = self.projections["image"](self.vision(inputs[self._image]).mean(dim=(2, 3)))
        # to the right of a row's last token nothing is read: the LSTM reads from left to right
        states, _ = self.lstm(self.words(inputs[self._text]))
        texts = self.projections["text"](last_real(states, real_places(inputs, self._text)))
        scale = self.logit_scale.clamp(max=LARGEST).exp()
        per_image = scale * normalize(images, dim=-1) @ normalize(texts, dim=-1).T
        return dict(zip(_OUTPUTS, (images, texts, per_image, per_image.T), strict=True))


def build_clip_conv_lstm(
    inputs: Mapping[str, InputShape],
    outputs: frozenset[str],
    widths: Sequence[int] = (16, 32, 64),
    embedding: int = 48,
    hidden: int = 64,
    layers: int = 1,
    projection: int = 64,
    stride: int = 1,
) -> ClipConvLstm:
    """`widths` of the convolutions, the first of which strides `stride` pixels (1 or 2), `embedding` of a token,
    `hidden` and `layers` of the LSTM, `projection` of the common space. Raises StageError unless it is given one image
    and one text, and for another stride."""
    image, text = one_input(inputs, ("image",), _WHO), one_input(inputs, ("tokens",), _WHO)
    refuse_others(inputs, (image, text), _WHO)
    check_names(outputs, _OUTPUTS, _WHO)
    channels, vocabulary = inputs[image].shape[0], inputs[text].vocabulary
    if channels is None or vocabulary is None:
        raise StageError("inputs: the image's channels and the text's vocabulary must be known")
    check_stride(stride)
    projections = {
        "image": nn.Linear(widths[-1], projection, bias=False),
        "text": nn.Linear(hidden, projection, bias=False),
    }
    lstm = nn.LSTM(embedding, hidden, layers, batch_first=True)
    words = nn.Embedding(vocabulary, embedding)
    return ClipConvLstm(image, text, Convolutions(channels, widths, stride), words, lstm, nn.ModuleDict(projections))
