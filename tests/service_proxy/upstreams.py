"""Providers that misbehave, or that wait for the test's word: plain sockets, so that every byte is the test's own."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

SSE = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def chunked(piece: bytes) -> bytes:
    """Return a piece of a body in the chunked coding; an empty one ends it."""
    return b"%x\r\n%s\r\n" % (len(piece), piece)


@dataclass
class Line:
    """One connection to a provider, whose request has been read."""

    connection: socket.socket
    head: bytes
    body: bytes

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def wait_until_closed(self) -> None:
        """Wait until the other side closes the connection."""
        with suppress(OSError):
            while self.connection.recv(65_536):
                pass


@dataclass
class Wire:
    """A provider that does what the test says with each connection."""

    url: str
    asked: list[Line] = field(default_factory=list)


@contextmanager
def wire(act: Callable[[Line], None]) -> Iterator[Wire]:
    """Serve: `act` is called, on a thread of its own, with each connection once its first request is there."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        found = Wire(f"http://127.0.0.1:{listener.getsockname()[1]}")
        threads: list[threading.Thread] = []

        def speak(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                line = _read(connection)
                found.asked.append(line)
                act(line)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    threads.append(threading.Thread(target=speak, args=(connection,), daemon=True))
                    threads[-1].start()

        acceptor = threading.Thread(target=accept, daemon=True)
        acceptor.start()
        try:
            yield found
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            for thread in (acceptor, *threads):
                thread.join(30)


def _read(connection: socket.socket) -> Line:
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65_536) or _gone()
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    length = int(lengths[0].partition(b":")[2]) if lengths else 0
    while len(body) < length:
        body += connection.recv(65_536) or _gone()
    return Line(connection, head, body)


def _gone() -> bytes:
    raise ConnectionResetError
