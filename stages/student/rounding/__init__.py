"""A student that computes as if it were in 8 bits: see docs/compress.md."""
