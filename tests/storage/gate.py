"""A gate before the S3 server: counts requests, cuts the connection, and makes the server forget what it was asked."""

import re
import socket
import threading
from contextlib import suppress

_REQUEST = re.compile(rb"^(GET|PUT|POST|HEAD|DELETE) (\S+) HTTP/1\.1\r\n", re.MULTILINE)


class Gate:
    """Forwards bytes between clients and a server, both on loopback. `open` false: nobody gets in, and who was in is
    thrown out. `conditional` false: the header of conditional creation never arrives."""

    def __init__(self, server: str) -> None:
        self._server = ("127.0.0.1", int(server.rpartition(":")[2]))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.open, self.conditional = True, True
        self.requests: list[tuple[str, str]] = []
        self._pairs: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def shut(self) -> None:
        """Cut every connection, and let nobody in."""
        self.open = False
        for one in self._pairs:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """The end."""
        self.shut()
        self._listener.close()

    def asked(self, method: str) -> list[str]:
        """Paths of the requests of one method so far."""
        return [path for one, path in self.requests if one == method]

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if not self.open:
                client.close()
                continue
            server = socket.create_connection(self._server)
            self._pairs += [client, server]
            threading.Thread(target=self._forward, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self._forward, args=(server, client, False), daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket, request: bool) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if request:
                    self.requests += [(a.decode(), b.decode()) for a, b in _REQUEST.findall(data)]
                    if not self.conditional:
                        data = re.sub(rb"(?i)if-none-match: ", b"x-forgotten--: ", data)
                target.sendall(data)
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
