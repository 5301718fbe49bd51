"""How phase one is run: on which devices, in passes of how many rows, with how many threads, and how fast that was."""
