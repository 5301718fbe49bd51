"""Signals at any moment end the command line with 75: while it imports, while it works, once and twice."""

import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from teachercache.pipeline.interruption import interruptible


def begun(arguments: list[str], folder: Path, mark: str) -> subprocess.Popen[str]:
    """A child process that has said `mark`."""
    child = subprocess.Popen([sys.executable, *arguments], cwd=folder, stdout=-1, stderr=subprocess.DEVNULL, text=True)
    assert child.stdout is not None
    while mark not in child.stdout.readline():
        assert child.poll() is None
    return child


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_while_modules_are_imported_says_try_again(number: int, tmp_path: Path) -> None:
    """The command line takes most of a second to import; it is drawn out here, so that the signal surely hits it."""
    code = """
        import sys, time
        class Slow:
            def find_spec(self, name, path, target=None):
                if name == "teachercache.pipeline.cli":
                    print("importing", flush=True)
                    for _ in range(300):  # not one long sleep: a signal just before it would not end it
                        time.sleep(0.1)
        sys.meta_path.insert(0, Slow())
        from teachercache.pipeline.entry import main
        main()
    """
    with begun(["-c", textwrap.dedent(code)], tmp_path, "importing") as child:
        child.send_signal(number)
        assert child.wait(20) == 75


@pytest.mark.parametrize("times", [1, 2])
def test_interrupting_once_or_twice_says_try_again(times: int, tmp_path: Path) -> None:
    """`work` stands for a verb: it ends its block when it is asked once, and never when nobody asks twice."""
    code = """
        import sys, time
        from teachercache.pipeline import cli, interruption
        from teachercache.stages.errors import Interrupted
        @cli.app.command()
        def work(times: int) -> None:
            with interruptible() as stop:
                print("working", flush=True)
                while not stop() or times > 1:
                    time.sleep(0.01)
                raise Interrupted("stopped")
        interruptible = interruption.interruptible
        sys.argv = ["teachercache", "work", sys.argv[1]]
        cli.main()
    """
    with begun(["-c", textwrap.dedent(code), str(times)], tmp_path, "working") as child:
        for _ in range(times):
            child.send_signal(signal.SIGINT)
            time.sleep(0.2)
        assert child.wait(20) == 75


def test_a_block_ends_and_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    with interruptible() as stop:
        assert not stop()
        signal.raise_signal(signal.SIGUSR1)
        assert stop()
    assert signal.getsignal(signal.SIGUSR1) is before
