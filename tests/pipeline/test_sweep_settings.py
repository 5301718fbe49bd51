"""A sweep in the file: students of their own in the configuration, and halving never compares a part of them."""

from pathlib import Path

import pytest

from teachercache.pipeline.config import load_config
from teachercache.pipeline.errors import ConfigError
from teachercache.pipeline.students.training import chosen_trials, require_competitors

YAML = """
name: swept
output: {output}
source: {{path: "data/train-*.tar"}}
teacher: {{model: models/my-teacher}}
cache: {{signals: {{logits: {{codec: f16}}}}}}
train: {{steps: 100, seeds: [0], halving: {{rungs: [0.5]}}}}
students:
  - name: cnn
    use: cnn
    objective: [{{loss: kl, signal: logits}}]
    sweep: {{parameters: {{{path}: [0.001, 0.003]}}}}
  - {{name: other, use: cnn, objective: [{{loss: kl, signal: logits}}]}}
evaluate: {{source: {{path: "data/test-*.tar"}}}}
"""


def written(folder: Path, path: str = "optimizer.lr") -> Path:
    file = folder / "recipe.yaml"
    file.write_text(YAML.format(output=folder / "run", path=path))
    return file


def test_the_trials_of_a_sweep_are_students_of_the_configuration(tmp_path: Path) -> None:
    config = load_config(written(tmp_path))
    assert [one.name for one in config.students] == ["cnn-01", "cnn-02", "other"]
    assert config.students[1].optimizer.lr == 0.003
    with pytest.raises(ConfigError, match="recipe.yaml: students: .*cnn: sweep.*'optimiser'; did you mean optimizer"):
        load_config(written(tmp_path, "optimiser.lr"))


def test_halving_refuses_a_part_of_a_sweep(tmp_path: Path) -> None:
    config = load_config(written(tmp_path))
    require_competitors(config, chosen_trials(config))
    require_competitors(config, chosen_trials(config, ["other"]))
    with pytest.raises(ConfigError, match="cnn-02/distilled/seed-0 is not among those to train here"):
        require_competitors(config, chosen_trials(config, ["cnn-01"]))
