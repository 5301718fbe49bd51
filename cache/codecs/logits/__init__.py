"""Codecs of logits of many classes: the largest and the mass of the rest, samples without bias, or the head's input."""
