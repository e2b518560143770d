"""A proxy between the client and the service that spoils what passes: the network and the gateways of a bad day.

It understands as much HTTP as it takes to tell one exchange from the next on a connection that is kept alive.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Literal

Fault = Literal[
    "pass", "refuse", "close", "hang", "reset", "reset after request", "reset in answer", "half", "garbage", "foreign",
    "empty", "lose answer", "slow", "trickle", "flood",
]  # fmt: skip
FAULTS: tuple[Fault, ...] = (
    "refuse",  # nobody listens
    "close",  # accept, or take a request on a kept connection, and hang up
    "hang",  # take the request and never answer
    "reset",  # the same as close, with a TCP reset
    "reset after request",  # the service has the request, and may or may not have done it
    "reset in answer",  # after some bytes of the answer
    "half",  # half an answer, then a proper end of the connection
    "garbage",  # what is no HTTP
    "foreign",  # proper HTTP and JSON of somebody else, such as a captive portal
    "empty",  # HTTP 200 with nothing in it
    "lose answer",  # the service has done it, and the connection ends before a byte of the answer comes
    "slow",  # the whole answer, byte by byte
    "trickle",  # an answer that goes on byte by byte for ever: no single read ever times out
    "flood",  # an answer that goes on at full speed for ever
)
_RESET = struct.pack("ii", 1, 0)
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


class FaultProxy:
    """Listen on `url` and pass requests on to a service on a local port.

    Each exchange (the first on a new connection, and each further one on a kept connection) suffers the next fault of
    `plan`, or `fault` when that is used up. `suffered` lists what each exchange met.
    """

    def __init__(self, port: int) -> None:
        self.target = port
        self.plan: deque[Fault] = deque()
        self.suffered: list[Fault] = []
        self.connections = 0
        self.sent = 0
        self._fault: Fault = "pass"
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._listener = self._listening(0)
        self._port: int = self._listener.getsockname()[1]
        self._faults: dict[Fault, Callable[[socket.socket, bytes], None]] = {
            "hang": self._hang,
            "reset after request": self._reset_after_request,
            "reset in answer": lambda client, request: self._part_of(client, request, 40, reset=True),
            "half": lambda client, request: self._part_of(client, request, None, reset=False),
            "garbage": lambda client, _: client.sendall(bytes(range(256)) * 4),
            "foreign": lambda client, _: client.sendall(
                _HEAD + b'content-length: 26\r\n\r\n{"please": "log in first"}'
            ),
            "empty": lambda client, _: client.sendall(_HEAD + b"content-length: 0\r\n\r\n"),
            "lose answer": lambda client, request: self._part_of(client, request, 0, reset=False),
            "trickle": self._trickle,
            "flood": self._flood,
        }

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def fault(self) -> Fault:
        """What exchanges suffer that the plan says nothing of. Setting it ends the connections that are open."""
        return self._fault

    @fault.setter
    def fault(self, fault: Fault) -> None:
        with self._lock:
            before, self._fault = self._fault, fault
            if "refuse" in (before, fault) and before != fault:
                if fault == "refuse":
                    _shut(self._listener)
                else:
                    self._listener = self._listening(self._port)
        self.cut()

    def cut(self) -> None:
        """End the connections that are open, as a service does that is started anew."""
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Stop listening, and end what is under way."""
        self._ended.set()
        _shut(self._listener)
        self.cut()

    # --- connections ------------------------------------------------------------------------------------------------

    def _listening(self, port: int) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return listener

    def _accept(self, listener: socket.socket) -> None:
        with listener, suppress(OSError):
            while True:
                client, _ = listener.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.connections += 1
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with self._lock:
            self._open.add(client)
        try:
            with client, suppress(OSError):
                fault = self._next() if self._ends_at_once() else None
                while fault is None and (request := _message(client)):
                    met = self._next()
                    if met in ("pass", "slow"):
                        answer = self._answer(request)
                        for piece in [answer] if met == "pass" else [bytes([byte]) for byte in answer]:
                            client.sendall(piece)
                            self.sent += len(piece)
                    else:
                        fault = met
                        if met in self._faults:
                            self._faults[met](client, request)
                if fault == "reset":
                    _reset(client)
        finally:
            with self._lock:
                self._open.discard(client)

    def _ends_at_once(self) -> bool:
        return (self.plan[0] if self.plan else self._fault) in ("close", "reset")

    def _next(self) -> Fault:
        with self._lock:
            fault = self.plan.popleft() if self.plan else self._fault
            self.suffered.append(fault)
            return fault

    # --- faults -----------------------------------------------------------------------------------------------------

    def _answer(self, request: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.target)) as service:
            service.sendall(request)
            return _message(service)

    def _hang(self, client: socket.socket, _request: bytes) -> None:
        while client.recv(4096):
            pass

    def _reset_after_request(self, client: socket.socket, request: bytes) -> None:
        with socket.create_connection(("127.0.0.1", self.target)) as service:
            service.sendall(request)
            _reset(client)
            _message(service)  # or the service would see that nobody waits

    def _part_of(self, client: socket.socket, request: bytes, count: int | None, *, reset: bool) -> None:
        answer = self._answer(request)
        client.sendall(answer[: len(answer) // 2 if count is None else count])
        if reset:
            _reset(client)

    def _trickle(self, client: socket.socket, _request: bytes) -> None:
        client.sendall(_HEAD + b"content-length: 100000000\r\n\r\n")
        while not self._ended.wait(0.01):
            client.sendall(b" ")

    def _flood(self, client: socket.socket, _request: bytes) -> None:
        client.sendall(_HEAD + b"transfer-encoding: chunked\r\n\r\n")
        piece = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        while not self._ended.is_set():
            client.sendall(piece)
            self.sent += 0x10000


def _message(connection: socket.socket) -> bytes:
    """Read one HTTP message; nothing if the connection ends before it does."""
    message = b""
    while b"\r\n\r\n" not in message:
        if not (more := connection.recv(65536)):
            return b""
        message += more
    head, _, _ = message.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:])
    length = len(head) + 4 + int(fields.get(b"content-length", b"0"))
    chunked = b"chunked" in fields.get(b"transfer-encoding", b"")
    while not message.endswith(b"\r\n0\r\n\r\n") if chunked else len(message) < length:
        if not (more := connection.recv(65536)):
            return b""
        message += more
    return message


def _reset(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        connection.close()


def _shut(listener: socket.socket) -> None:
    with suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
    listener.close()


@contextmanager
def fault_proxy(url: str) -> Iterator[FaultProxy]:
    """Stand between a client and the service at `url`."""
    proxy = FaultProxy(int(url.rpartition(":")[2]))
    try:
        yield proxy
    finally:
        proxy.close()
