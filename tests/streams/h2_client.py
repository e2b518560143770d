"""A client of HTTP/2 that reads trailers, which those of the SDKs do not."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events

_PATIENCE = 30.0


@dataclass
class Answer:
    """What came back."""

    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    trailers: dict[str, str] | None = None
    is_complete: bool = False


def ask(address: str, path: str, *headers: tuple[str, str]) -> Answer:
    """Make one GET request over HTTP/2 without TLS (RFC 9113, section 3.3), and read the answer to its end."""
    host, _, port = address.partition(":")
    config = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
    connection = h2.connection.H2Connection(config)
    answer = Answer()
    with socket.create_connection((host, int(port)), timeout=_PATIENCE) as link:
        connection.initiate_connection()
        asked = [(":method", "GET"), (":path", path), (":authority", address), (":scheme", "http"), *headers]
        connection.send_headers(1, asked, end_stream=True)
        link.sendall(connection.data_to_send())
        while not answer.is_complete:
            data = link.recv(65536)
            assert data, f"the server hung up: {answer}"
            for event in connection.receive_data(data):
                _take(answer, event, connection)
            link.sendall(connection.data_to_send())
    return answer


def _take(answer: Answer, event: h2.events.Event, connection: h2.connection.H2Connection) -> None:
    if isinstance(event, h2.events.ResponseReceived):
        answer.headers = {str(name): str(value) for name, value in event.headers}
    elif isinstance(event, h2.events.DataReceived):
        answer.body += event.data
        connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
    elif isinstance(event, h2.events.TrailersReceived):
        answer.trailers = {str(name): str(value) for name, value in event.headers}
    elif isinstance(event, h2.events.StreamEnded):
        answer.is_complete = True
    elif isinstance(event, h2.events.StreamReset):
        raise AssertionError(f"the server reset the stream: {event}")
