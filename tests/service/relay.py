"""A way to PostgreSQL on which is counted how often its client asks for answers, and that can be cut."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

_HEAD = 4
_VERSION = b"\0\3\0\0"


class Relay:
    """Pass on what a client and a server say to each other.

    Args:
        server: host and port.
    """

    def __init__(self, server: tuple[str, int]) -> None:
        self.asked: list[bytes] = []
        """What was said until the server was to answer (a query, or a sync), each time, by all connections.

        https://www.postgresql.org/docs/current/protocol-flow.html
        """
        self.cut_at: bytes | None = None
        """What is not passed on if a client says it: the connection is cut instead."""
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                connection = _Connection(self, client, server)
                threading.Thread(target=connection.ask, daemon=True).start()
                threading.Thread(target=connection.answer, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()


class _Connection:
    def __init__(self, relay: Relay, client: socket.socket, server: socket.socket) -> None:
        self._relay = relay
        self._client = client
        self._server = server
        self._said = b""
        self._begun = False
        self._asking = b""

    def ask(self) -> None:
        with self._client, self._server, suppress(OSError):
            while said := self._client.recv(65_536):
                if self._relay.cut_at is not None and self._relay.cut_at in said:
                    break
                self._count(said)
                self._server.sendall(said)
            self._client.shutdown(socket.SHUT_RDWR)
            self._server.shutdown(socket.SHUT_RDWR)

    def _count(self, said: bytes) -> None:
        self._said += said
        while len(self._said) > _HEAD:
            head = 1 if self._begun else 0  # the first messages, up to the one that begins, have no type
            length = head + int.from_bytes(self._said[head : head + 4])
            if len(self._said) < length:
                return
            message, self._said = self._said[:length], self._said[length:]
            self._asking += message
            if self._begun and message[:1] in (b"Q", b"S"):
                self._relay.asked.append(self._asking)
                self._asking = b""
            self._begun = self._begun or message[_HEAD : 2 * _HEAD] == _VERSION

    def answer(self) -> None:
        with suppress(OSError):
            while said := self._server.recv(65_536):
                self._client.sendall(said)


@contextmanager
def relayed(url: str) -> Iterator[tuple[str, Relay]]:
    """Give the URL of a database by way of a relay, and the relay."""
    netloc = urlsplit(url).netloc
    user, _, server = netloc.rpartition("@")
    host, _, port = server.partition(":")
    relay = Relay((host, int(port)))
    try:
        yield url.replace(netloc, f"{user}@127.0.0.1:{relay.port}"), relay
    finally:
        relay.close()
