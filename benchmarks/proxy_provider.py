"""A provider that does nothing but answer: at once, or in chunks that say when they were sent."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from typing import Any

from benchmarks.serving import serve

CHUNKS, PAUSE = 200, 0.005
"""Chunks of a stream, and the seconds between two of them."""

_numbers = itertools.count()
_BASE = {"created": 1741569952, "model": "gpt-4o-mini-2024-07-18"}
_USAGE = {"prompt_tokens": 19, "completion_tokens": 500, "total_tokens": 519}


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer a chat."""
    if scope["type"] != "http":
        return
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    answer = _stream if json.loads(body).get("stream") else _whole
    await answer(f"chatcmpl-{next(_numbers)}-{time.time_ns()}", send)


async def _whole(name: str, send: Any) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "word " * 230}, "finish_reason": "stop"}
    body = json.dumps({"id": name, **_BASE, "object": "chat.completion", "choices": [choice], "usage": _USAGE}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _stream(name: str, send: Any) -> None:
    def event(choices: list[Any], **more: Any) -> bytes:
        told = {"id": name, "object": "chat.completion.chunk", **_BASE, "choices": choices, **more}
        return f"data: {json.dumps(told)}\n\n".encode()

    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    for _ in range(CHUNKS):
        await asyncio.sleep(PAUSE)
        delta = {"content": f"sent {time.monotonic_ns()} "}
        chunk = event([{"index": 0, "delta": delta, "finish_reason": None}])
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    end = event([{"index": 0, "delta": {}, "finish_reason": "stop"}]) + event([], usage=_USAGE) + b"data: [DONE]\n\n"
    await send({"type": "http.response.body", "body": end})


if __name__ == "__main__":
    serve(app)
