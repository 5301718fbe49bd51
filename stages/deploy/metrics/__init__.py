"""What a model is worth on held-out samples: one kind of metric a file, and the table that finds them by name."""
