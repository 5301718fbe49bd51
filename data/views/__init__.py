"""Views: deterministic augmentations whose parameters are stored, so that a student sees the pixels its teacher saw."""

from .policy import ViewPolicy

__all__ = ["ViewPolicy"]
