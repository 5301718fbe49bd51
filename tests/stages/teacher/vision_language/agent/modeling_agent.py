"""A stand-in with Magma's anatomy: a convolutional tower that sees image by image, a projector with a learnt separator
behind each row of patches, a language model whose inner model is called past its wrapper, and one image id that becomes
many embeddings inside the forward pass. The mask of what it makes is returned to nobody.
"""

import torch
from torch import nn
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast


class AgentConfig(PretrainedConfig):
    model_type = "agent-for-tests"

    def __init__(self, text_config=None, image_token_index=300, tokenizer_vocab_size=300, width=8, **kwargs):
        if isinstance(text_config, dict):
            text_config = CONFIG_MAPPING[text_config.get("model_type", "llama")](**text_config)
        self.text_config = text_config if text_config is not None else CONFIG_MAPPING["llama"]()
        self.image_token_index, self.tokenizer_vocab_size, self.width = image_token_index, tokenizer_vocab_size, width
        super().__init__(**kwargs)


class Projector(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.proj = nn.Linear(width, hidden)
        self.separator = nn.Parameter(torch.ones(1, 1, hidden))

    def forward(self, patches):
        return self.proj(patches)


class AgentForCausalLM(PreTrainedModel):
    config_class = AgentConfig

    def __init__(self, config):
        super().__init__(config)
        self.vision_tower = nn.Sequential(nn.Conv2d(3, config.width, 8, 8), nn.Tanh())
        self.multi_modal_projector = Projector(config.width, config.text_config.hidden_size)
        self.language_model = AutoModelForCausalLM.from_config(config.text_config)
        self.post_init()

    @property
    def _supports_sdpa(self):
        return self.language_model._supports_sdpa

    def tie_weights(self):
        return self.language_model.tie_weights()

    def get_input_embeddings(self):
        return self.language_model.get_input_embeddings()

    def see(self, image):
        patches = self.multi_modal_projector(self.vision_tower(image[None])[0].permute(1, 2, 0))
        rows = self.multi_modal_projector.separator.repeat(len(patches), 1, 1)
        return torch.cat([patches, rows], dim=1).flatten(0, 1)

    def forward(
        self,
        input_ids,
        pixel_values=None,
        image_sizes=None,
        attention_mask=None,
        use_cache=None,
        output_hidden_states=None,
    ):
        if pixel_values.dim() != 5 or image_sizes.dim() != 3:
            raise ValueError("pixel_values are (B, crops, C, H, W) and image_sizes (B, images, 2)")
        images = [self.see(crops[0]) for crops in pixel_values]
        embedded = self.get_input_embeddings()(input_ids.masked_fill(input_ids == self.config.image_token_index, 0))
        rows = []
        for ids, mask, row, image in zip(input_ids, attention_mask, embedded, images, strict=True):
            ids, row = ids[mask == 1], row[mask == 1]
            (place,) = torch.where(ids == self.config.image_token_index)[0].tolist()
            rows.append(torch.cat([row[:place], image, row[place + 1 :]]))
        longest = max(map(len, rows))
        left = bool((attention_mask == 1).all())  # nothing tells the side, and left is its habit
        whole = torch.zeros(len(rows), longest, rows[0].shape[1])
        mask = torch.zeros(len(rows), longest, dtype=torch.long)
        for number, row in enumerate(rows):
            place = slice(longest - len(row), None) if left else slice(0, len(row))
            whole[number, place], mask[number, place] = row, 1
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        output = self.language_model.model(
            inputs_embeds=whole,
            attention_mask=mask,
            position_ids=positions,
            use_cache=use_cache,
            output_hidden_states=output_hidden_states,
        )
        return CausalLMOutputWithPast(
            logits=self.language_model.lm_head(output[0]).float(), hidden_states=output.hidden_states
        )


class AgentForConditionalGeneration(AgentForCausalLM):
    """What an Auto class finds, as it does for Magma: another class of the same configuration."""

    def forward(self, *args, **kwargs):
        raise RuntimeError("this class was not asked for")
