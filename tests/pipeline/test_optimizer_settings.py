"""An optimiser that there is not is one clear error at its place in the file."""

from pathlib import Path

import pytest

from teachercache.pipeline.config import load_config
from teachercache.pipeline.errors import ConfigError

YAML = """
name: short
output: {output}
source: {{path: "data/train-*.tar"}}
teacher: {{model: models/my-teacher}}
cache: {{signals: {{logits: {{codec: f16}}}}}}
train: {{steps: 100}}
students: [{{name: cnn, use: cnn, objective: [{{loss: kl, signal: logits}}], optimizer: {optimizer}}}]
evaluate: {{source: {{path: "data/test-*.tar"}}}}
"""


@pytest.mark.parametrize("optimizer", ["sgd", "{name: sgd}", "{use: sgd, lr: 0.1}"])
def test_another_optimiser_is_refused_and_the_one_there_is_named(tmp_path: Path, optimizer: str) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(YAML.format(output=tmp_path / "run", optimizer=optimizer))
    with pytest.raises(ConfigError, match=r"students\.0\.optimizer: sgd cannot be chosen: it is AdamW"):
        load_config(file)
