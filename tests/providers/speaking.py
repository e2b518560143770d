"""A local server that answers each path with what a test wrote for it, and the reports that follow."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from payi_middleware import flush
from payi_middleware.service.accounts.records import RequestRecord
from payi_middleware.service.ledger import Ledger
from tests.transport.serving import serve


@dataclass
class Spoken:
    """One answer: its pieces go out one by one."""

    pieces: list[bytes]
    content_type: str = "application/json"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Speaker:
    """A server's address, and the requests it got: (path, headers, body)."""

    url: str
    asked: list[tuple[str, dict[str, str], bytes]]


def spoken(body: Any) -> Spoken:
    """Answer with one JSON body."""
    return Spoken([json.dumps(body).encode()])


@contextmanager
def speaking(answers: Mapping[str, Spoken]) -> Iterator[Speaker]:
    """Serve `answers` by path; a path ending in `?stream` answers requests that ask for a stream."""
    asked: list[tuple[str, dict[str, str], bytes]] = []

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        asked.append((scope["path"], headers, body))
        streams = b'"stream":true' in body.replace(b" ", b"")
        answer = answers[scope["path"] + ("?stream" if streams else "")]
        raw = [(b"content-type", answer.content_type.encode())]
        raw += [(name.encode(), value.encode()) for name, value in answer.headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": raw})
        for piece in answer.pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    with serve(app) as url:
        yield Speaker(url, asked)


def reports(ledger: Path) -> list[RequestRecord]:
    """Wait for what was recorded to be booked, and read it back, the oldest first."""
    assert flush(10)
    with Ledger(ledger) as opened:
        return opened.requests(limit=100, newest_first=False)
