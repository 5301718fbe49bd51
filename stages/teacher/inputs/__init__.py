"""From samples to what a teacher is called with: loader workers, preparation, batches."""
