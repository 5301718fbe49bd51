"""The trackers that settings may name; each is also the name of its package and of our extra."""

from typing import Literal

TrackerName = Literal["wandb", "mlflow"]
