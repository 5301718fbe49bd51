"""What trials take of a GPU's memory: measured, held against their budgets, and which of them fit together."""
