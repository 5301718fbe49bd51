"""Losses between the logits of a classifier and those of its teacher."""
