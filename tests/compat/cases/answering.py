"""A server for the wires that the stand-in provider does not speak: what each path answers is written by the case."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

from tests.transport.serving import serve

INPUT, OUTPUT = 20, 5
"""The tokens that each answer tells."""


@dataclass(frozen=True)
class Answered:
    """One answer; what is streamed goes out in pieces."""

    pieces: list[bytes]
    content_type: str = "application/json"


def plain(body: Any) -> Answered:
    """Answer with one JSON body."""
    return Answered([json.dumps(body).encode()])


def events(*told: Any) -> Answered:
    """Answer with server-sent events, each under its name where it has a type; a text is one as it is."""
    return Answered([_event(one) for one in told], "text/event-stream")


def _event(told: Any) -> bytes:
    name = f"event: {told['type']}\n" if isinstance(told, dict) and "type" in told else ""
    return f"{name}data: {told if isinstance(told, str) else json.dumps(told)}\n\n".encode()


@contextmanager
def answering(answers: Mapping[str, Callable[[str], Answered]]) -> Iterator[str]:
    """Serve at the address that is yielded.

    Args:
        answers: for each path what to answer, made of an id that no other answer has; a path that ends in `?stream`
            answers requests with `"stream": true`.
    """
    ids = count(1)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        streams = b'"stream":true' in body.replace(b" ", b"")
        answered = answers[scope["path"] + ("?stream" if streams else "")](f"answer-{next(ids)}")
        headers = [(b"content-type", answered.content_type.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for piece in answered.pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    with serve(app) as url:
        yield url
