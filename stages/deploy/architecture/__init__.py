"""The search for a student's shape: which sizes are worth their cost, all tried on one cache."""
