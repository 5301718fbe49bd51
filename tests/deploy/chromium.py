"""A headless Chromium that tests drive, over DevTools' pipe: no port, no driver, no waiting by the clock.

`--remote-debugging-pipe` reads JSON messages from descriptor 3 and writes to 4, each ended by a zero byte.
"""

import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run")
_SECONDS = 120  # that a step in a page may take
# Started through a shell because it can put pipes on 3 and 4 whatever numbers they have here.
_SHELL = 'exec "$@" 3<&"$TO_BROWSER" 4>&"$FROM_BROWSER"'


class Chromium:
    """One browser with one page. `profile` is a folder; what service workers keep lies there."""

    def __init__(self, profile: Path) -> None:
        assert PROGRAM is not None
        reads, self._to = os.pipe()
        self._from, writes = os.pipe()
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (reads, writes)]  # clear of 3 and 4
        env = {**os.environ, "TO_BROWSER": str(ends[0]), "FROM_BROWSER": str(ends[1])}
        words = [PROGRAM, *_FLAGS, "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen(["bash", "-c", _SHELL, "sh", *words], env=env, pass_fds=ends, **quiet)
        for end in (reads, writes, *ends):
            os.close(end)
        self._numbers, self._rest = 0, b""
        (page,) = [one for one in self._call("Target.getTargets")["targetInfos"] if one["type"] == "page"]
        attached = self._call("Target.attachToTarget", targetId=page["targetId"], flatten=True)
        self._session = attached["sessionId"]

    def open(self, url: str) -> None:
        """Go there, and come back when the document is loaded; a page that cannot be had raises AssertionError."""
        self.call("Page.enable")
        said = self.call("Page.navigate", url=url)
        assert "errorText" not in said, said["errorText"]
        self.run("new Promise(done => document.readyState === 'complete' ? done() : addEventListener('load', done))")

    def run(self, script: str) -> Any:
        """The value of an expression in the page, awaited where it is a promise."""
        settings = {"awaitPromise": True, "returnByValue": True, "userGesture": True, "timeout": 1000 * _SECONDS}
        said = self.call("Runtime.evaluate", expression=script, **settings)
        assert "exceptionDetails" not in said, said["exceptionDetails"]
        return said["result"].get("value")

    def choose(self, selector: str, file: Path) -> None:
        """Choose a file in an `<input type=file>`, as a user does."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", files=[str(file)], nodeId=node)

    def call(self, method: str, **settings: Any) -> dict[str, Any]:
        """A method of DevTools on the page."""
        return self._call(method, {"sessionId": self._session}, **settings)

    def close(self) -> None:
        """End the browser; its profile stays."""
        try:
            self._call("Browser.close")
        except (AssertionError, BrokenPipeError):
            self._process.kill()
        os.close(self._to)
        self._process.wait(60)
        os.close(self._from)

    def _call(self, method: str, where: Mapping[str, Any] | None = None, **settings: Any) -> dict[str, Any]:
        self._numbers += 1
        message = {"id": self._numbers, "method": method, "params": settings, **(where or {})}
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while (said := self._read()).get("id") != self._numbers:
            pass  # an event
        assert "error" not in said, said["error"]
        return dict(said["result"])

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            piece = os.read(self._from, 1 << 16)
            assert piece, "the browser ended"
            self._rest += piece
        message, _, self._rest = self._rest.partition(b"\0")
        return dict(json.loads(message))
