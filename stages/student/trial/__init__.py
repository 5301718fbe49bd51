"""One trial in memory: arms, steps, and its end."""
