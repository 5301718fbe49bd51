"""Versions of the libraries that numbers depend on, for receipts, trials and reports."""

from importlib.metadata import PackageNotFoundError, version

_LIBRARIES = ("teachercache", "torch", "transformers", "numpy", "pillow", "zarr", "pyarrow")


def library_versions() -> dict[str, str]:
    """{library: version} of those that are installed."""
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # teachercache run from a checkout that was never installed
            continue
    return found
