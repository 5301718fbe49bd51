"""The search for a student's shape as the configuration asks for it, and what is written of it."""
