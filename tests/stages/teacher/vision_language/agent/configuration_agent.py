"""The configuration of the stand-in for Magma; lies beside its weights, as remote code does."""

from transformers import CONFIG_MAPPING, PretrainedConfig


class AgentConfig(PretrainedConfig):
    model_type = "agent-for-tests"

    def __init__(self, text_config=None, image_token_index=300, tokenizer_vocab_size=300, width=8, **kwargs):
        if isinstance(text_config, dict):
            text_config = CONFIG_MAPPING[text_config.get("model_type", "llama")](**text_config)
        self.text_config = text_config if text_config is not None else CONFIG_MAPPING["llama"]()
        self.image_token_index, self.tokenizer_vocab_size, self.width = image_token_index, tokenizer_vocab_size, width
        super().__init__(**kwargs)
