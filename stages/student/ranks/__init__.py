"""Several processes that train the same trials together, each on its part of every batch (torchrun)."""
