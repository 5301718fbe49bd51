"""The door of the command line: signals are heard from the first moment, then everything else is imported.

It imports nothing heavy itself, because a signal that comes before it is heard kills with a code that means something
else.
"""

from .interruption import leave_on_signals


def main() -> None:
    """Run the command line. Its exit codes are those of `cli.main`."""
    leave_on_signals()
    from .cli import main as run

    run()
