"""Exported graphs in the runtimes that answer on a device. No torch, and nothing of the cache, is imported here."""
