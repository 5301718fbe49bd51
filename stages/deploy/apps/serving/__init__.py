"""A model behind HTTP: what waits is answered in batches, and what is no picture, or too much, is refused."""
