"""Losses between distributions over a vocabulary, token by token, with masks."""
