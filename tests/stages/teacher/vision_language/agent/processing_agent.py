"""A processor in Magma's form: `texts`, a flat list of images, and the number of crops of each."""

import numpy as np
import torch
from transformers import AutoTokenizer
from transformers.processing_utils import ProcessorMixin


class Pixels:
    def __call__(self, images):
        return torch.stack([torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255 for image in images])


class AgentProcessor(ProcessorMixin):
    def __init__(self, tokenizer=None):
        self.image_processor, self.tokenizer, self.chat_template = Pixels(), tokenizer, None

    @classmethod
    def from_pretrained(cls, folder, **kwargs):
        return cls(AutoTokenizer.from_pretrained(folder, trust_remote_code=kwargs["trust_remote_code"]))

    def __call__(self, texts, images, padding=False, return_tensors="pt"):
        made = self.tokenizer(texts, padding=padding, return_tensors=return_tensors)
        sizes = torch.ones(len(images), 2, dtype=torch.long)
        return {**made, "pixel_values": self.image_processor(images), "image_sizes": sizes}
