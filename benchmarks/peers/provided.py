"""What the provider answers, in the process: a plain answer of 1.2 KB, and streams; each with an id of its own."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2

__all__ = ["ASKED", "CHUNKS", "CHUNKS_AT_ONCE", "FOREIGN", "PROVIDER", "InProcess", "plain", "stream"]

PROVIDER, FOREIGN = "https://api.openai.com/v1", "https://api.example.com/v1/orders/17"
CHUNKS, CHUNKS_AT_ONCE = 500, 100
ASKED: dict[str, Any] = {
    "model": "gpt-4o-mini",
    "messages": [
        {"role": "system", "content": "You answer briefly."},
        {"role": "user", "content": "What is told of the sea, and by whom? " * 6},
    ],
}
_BASE = {"created": 1741569952, "model": "gpt-4o-mini-2024-07-18", "system_fingerprint": "fp_06737a9306"}
_USAGE = {
    "prompt_tokens": 19,
    "completion_tokens": 500,
    "total_tokens": 519,
    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0, "accepted_prediction_tokens": 0},
}
_numbers = itertools.count()


def plain() -> bytes:
    """Return the body of a plain answer."""
    message: dict[str, Any] = {"role": "assistant", "content": "word " * 130, "refusal": None, "annotations": []}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    told = {"id": _new_id(), "object": "chat.completion", **_BASE, "choices": [choice], "usage": _USAGE}
    return json.dumps(told).encode()


def stream(chunks: int, words: str = "word ") -> Iterator[bytes]:
    """Yield the events of a streamed answer, each with these words, as hosts flush them."""
    base = {"id": _new_id(), "object": "chat.completion.chunk", **_BASE}

    def event(**told: Any) -> bytes:
        return b"data: %s\n\n" % json.dumps({**base, **told}).encode()

    def choice(delta: dict[str, Any], reason: str | None = None) -> list[dict[str, Any]]:
        return [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}]

    yield event(choices=choice({"role": "assistant", "content": ""}))
    usual = event(choices=choice({"content": words}))
    for _ in range(chunks):
        yield usual
    yield event(choices=choice({}, "stop"))
    yield event(choices=[], usage=_USAGE)
    yield b"data: [DONE]\n\n"


def _new_id() -> str:
    return f"chatcmpl-{next(_numbers):024d}"


class _Body(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    def __init__(self, chunks: int, words: str, *, yielding: bool) -> None:
        self._parts = stream(chunks, words)
        self._yielding = yielding

    def __iter__(self) -> Iterator[bytes]:
        return self._parts

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            if self._yielding:
                await asyncio.sleep(0)
            yield part


class InProcess(httpx2.BaseTransport, httpx2.AsyncBaseTransport):
    """Answers without a socket.

    Args:
        chunks: how many a stream has; None gives a plain answer.
        words: what each of them says.
        yielding: other tasks have their turn between two chunks.
    """

    def __init__(self, chunks: int | None = None, words: str = "word ", *, yielding: bool = False) -> None:
        self._chunks = chunks
        self._words = words
        self._yielding = yielding

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer a sync client."""
        return self._answer()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer an async client."""
        return self._answer()

    def _answer(self) -> httpx2.Response:
        if self._chunks is None:
            headers = {"content-type": "application/json", "x-request-id": "req_0"}
            return httpx2.Response(200, headers=headers, stream=httpx2.ByteStream(plain()))
        body = _Body(self._chunks, self._words, yielding=self._yielding)
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, stream=body)
