"""A student that computes as if it were in int8 already: see docs/compress.md."""
