"""What goes wrong before a stage starts."""


class ConfigError(Exception):
    """A configuration that cannot be used. The message names the file, the dotted path and what to write instead."""

    exit_code = 2
