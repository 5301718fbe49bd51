"""How a student's outputs and their targets meet: what is checked before the first step, and what is done in each."""
