"""Asks a finished model about anything: pictures, texts, arrays, one or many, from one thread or from several.

    predictor = open_predictor("exported/tiny")
    predictor.predict("cat.png")["logits"]

It needs no torch where the model is an exported file. It trains nothing and knows no labels.
"""

from .model import Model
from .open import open_predictor
from .predictor import Predictor

__all__ = ["Model", "Predictor", "open_predictor"]
