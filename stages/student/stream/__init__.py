"""The batches that all trials share."""
