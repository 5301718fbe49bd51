"""Losses between features and attention of one sample: embeddings, hidden states, feature maps, attention maps."""
