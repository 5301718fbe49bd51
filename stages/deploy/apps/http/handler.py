"""One request at a time of a connection: bodies within a limit, JSON answers, and a status for each way of being wrong.

411 without a length, 413 for too much, 400 for what cannot be read, 403 for another site's page, 404, 500.
"""

import json
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from .....data import DataError
from ....errors import StageError, StageFailed

_LOCAL = ("127.0.0.1", "localhost", "[::1]")
MOST_BYTES = 20_000_000
_DRAIN_SECONDS, _DRAIN_BYTES = 0.2, 1 << 22


class Refused(Exception):
    """A request that is answered with a status and a reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Handler(BaseHTTPRequestHandler):
    """`routes`: {(method, path): function of this handler}; a function answers with `send` or `send_json`."""

    protocol_version = "HTTP/1.1"
    timeout = 60  # seconds that a silent connection is kept
    # An answer leaves in one piece and at once: in two, the second would wait for the client's delayed acknowledgement.
    wbufsize = 1 << 16
    disable_nagle_algorithm = True
    routes: ClassVar[dict[tuple[str, str], Callable[[Any], None]]] = {}
    most_bytes: ClassVar[int] = MOST_BYTES

    def do_GET(self) -> None:  # noqa: N802
        self._answer("GET")

    def do_POST(self) -> None:  # noqa: N802
        self._answer("POST")

    def _answer(self, method: str) -> None:
        try:
            self._check_host()
            route = self.routes.get((method, urlsplit(self.path).path))
            if route is None:
                there = ", ".join(" ".join(one) for one in self.routes)
                raise Refused(404, f"there is no {method} {urlsplit(self.path).path}; there are {there}")
            route(self)
        except Refused as error:
            self._refuse(error.status, str(error))
        except StageFailed as error:
            self._refuse(500, str(error))
        except (StageError, DataError) as error:
            self._refuse(400, str(error))
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _check_host(self) -> None:
        """A server of this machine alone answers no page of another site, whatever its name resolves to."""
        local = str(self.connection.getsockname()[0]).startswith("127.")
        if local and self.headers.get("Host", "").rsplit(":", 1)[0] not in _LOCAL:
            raise Refused(403, "this server answers to localhost alone")

    def query(self) -> dict[str, str]:
        """The last value of each word behind the question mark."""
        return {name: values[-1] for name, values in parse_qs(urlsplit(self.path).query).items()}

    def body(self) -> bytes:
        """The request's body. Raises Refused for one without a length, or longer than `most_bytes`."""
        length = self.headers.get("Content-Length")
        if length is None or not length.isdigit():
            raise Refused(411, "say Content-Length: bodies in chunks are not read")
        if int(length) > self.most_bytes:
            raise Refused(413, f"the body has {length} bytes, and {self.most_bytes} are the most")
        return self.rfile.read(int(length))

    def send_json(self, content: object, status: int = 200) -> None:
        self.send(json.dumps(content, ensure_ascii=False, allow_nan=False).encode(), "application/json", status)

    def send(self, data: bytes, kind: str, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("X-Content-Type-Options", "nosniff")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)

    def _refuse(self, status: int, reason: str) -> None:
        self.close_connection = True  # its body may not have been read
        self.send_json({"error": reason}, status)
        self._drain()

    def _drain(self) -> None:
        """Take in for a moment what is still being sent: closed on unread bytes, a connection loses the answer."""
        self.wfile.flush()
        self.connection.settimeout(_DRAIN_SECONDS)
        left = _DRAIN_BYTES
        with suppress(OSError):
            while left > 0 and (data := self.rfile.read1(min(left, 1 << 16))):
                left -= len(data)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is logged: a terminal is no place for each request."""


class Server(ThreadingHTTPServer):
    """A thread a connection; they end with the program."""

    daemon_threads = True
    request_queue_size = 128


def number_of(words: dict[str, str], name: str, default: int, most: int) -> int:
    """A whole number of a query, 1 to `most`. Raises Refused."""
    word = words.get(name, str(default))
    if not word.isdigit() or not 1 <= int(word) <= most:
        raise Refused(400, f"{name}={word}: a whole number from 1 to {most} is meant")
    return int(word)
