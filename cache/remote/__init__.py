"""Files that lie elsewhere: in an object store, or wherever fsspec reaches. Lists, reads and writes them, and keeps a
bounded mirror of whole files on the local disk. It knows nothing of caches and of samples; both rooms stand on it."""
