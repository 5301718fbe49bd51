"""Students cut from a saved model: its layers, heads, widths that are kept, and their weights.

What is cut stands in a folder as `save_pretrained` writes it. Its config and the tensors that are kept are read; the
model itself is never built with its weights.
"""
