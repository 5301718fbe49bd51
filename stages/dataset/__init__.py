"""A finished cache as a dataset of torch, for training scripts of one's own."""

from .cache_dataset import CacheDataset
from .tensor_batch import TensorBatch

__all__ = ["CacheDataset", "TensorBatch"]
