"""A small server that speaks Gemini's wire, and Claude's on Vertex AI, on a loopback port."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.transport.serving import serve

Json = dict[str, Any]

EVENTS = "text/event-stream"
USAGE: Json = {
    "promptTokenCount": 120,
    "candidatesTokenCount": 30,
    "thoughtsTokenCount": 50,
    "cachedContentTokenCount": 100,
    "totalTokenCount": 200,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 120}],
    "cacheTokensDetails": [{"modality": "TEXT", "tokenCount": 100}],
}
UNITS = {
    "text": {"input": 20, "output": 30},
    "text_cache_read": {"input": 100, "output": 0},
    "reasoning": {"input": 0, "output": 50},
}
_CALL: Json = {"functionCall": {"name": "weather", "args": {"city": "Oslo"}}}
_NOT_FOUND: Json = {"error": {"code": 404, "message": "no such model", "status": "NOT_FOUND"}}
_OVERLOADED: Json = {"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}


class GeminiServer:
    """Answer as the model's name says: others than these speak.

    `missing` is not found, `breaks` fails within its stream, `continues` takes three interactions for its answer.
    """

    def __init__(self) -> None:
        self.url = ""
        self.ids: list[str] = []
        self._next = count(1)

    @contextmanager
    def running(self) -> Iterator[GeminiServer]:
        """Serve until the context is left."""
        with serve(Starlette(routes=[Route("/{path:path}", self._answer, methods=["POST"])])) as self.url:
            yield self

    async def _answer(self, request: Request) -> Response:
        last = request.url.path.rpartition("/")[2]
        model, _, method = last.rpartition(":")
        body: Json = await request.json()
        if model == "missing":
            return JSONResponse(_NOT_FOUND, 404)
        if method == "countTokens":
            return JSONResponse({"totalTokens": 7})
        if method == "batchEmbedContents":
            return JSONResponse({"embeddings": [{"values": [0.5]}], "usageMetadata": {"promptTokenCount": 8}})
        if method == "predict":
            return JSONResponse({"predictions": [_embedding(5), _embedding(6)]})
        if method in ("rawPredict", "streamRawPredict"):
            return self._message(model, streamed=bool(body.get("stream")))
        if last == "interactions":
            return self._interaction(body)
        return self._generation(request, model, body, streamed=method == "streamGenerateContent")

    def _id(self) -> str:
        self.ids.append(f"response-{next(self._next)}")
        return self.ids[-1]

    def _generation(self, request: Request, model: str, body: Json, *, streamed: bool) -> Response:
        shared = {"modelVersion": model, "responseId": self._id()}
        parts = [_CALL] if "tools" in body and len(body["contents"]) == 1 else [{"text": "Oslo"}]
        if not streamed:
            return JSONResponse({**_candidate(parts, "STOP"), "usageMetadata": USAGE, **shared})
        early = {"promptTokenCount": 120, "totalTokenCount": 120}
        events = [
            {**_candidate([{"text": "hm", "thought": True}]), "usageMetadata": early, **shared},
            {**_candidate([{"text": "Os"}]), "usageMetadata": early, **shared},
            _OVERLOADED if model == "breaks" else {**_candidate(parts, "STOP"), "usageMetadata": USAGE, **shared},
        ]
        if request.query_params.get("alt") == "sse":
            return _events(events)
        return Response(json.dumps(events, indent=2), media_type="application/json")

    def _interaction(self, body: Json) -> Response:
        usage = {"total_input_tokens": 120, "total_cached_tokens": 100, "total_output_tokens": 30}
        done = {
            "id": self._id(),
            "object": "interaction",
            "model": body["model"],
            "status": "completed",
            "created": "2026-05-15T18:52:36Z",
            "updated": "2026-05-15T18:52:36Z",
            "usage": {**usage, "total_thought_tokens": 50, "total_tokens": 200},
        }
        steps = [{"type": "model_output", "content": [{"type": "text", "text": "Oslo"}]}]
        hop = int(body.get("continuation_token", 0)) + 1
        if body["model"] == "continues" and hop < 3:
            done.update(status="requires_continuation", continuation_token=str(hop))
        if not body.get("stream"):
            return JSONResponse({**done, "steps": steps})
        opening = {"id": done["id"], "object": "interaction", "model": body["model"], "status": "in_progress"}
        return _events(
            [
                {"event_type": "interaction.created", "interaction": opening},
                {"event_type": "step.start", "index": 0, "step": {"type": "model_output"}},
                {"event_type": "step.delta", "index": 0, "delta": {"type": "text", "text": "Oslo"}},
                {"event_type": "step.stop", "index": 0},
                {"event_type": "interaction.completed", "interaction": done},
            ],
            named=True,
        )

    def _message(self, model: str, *, streamed: bool) -> Response:
        usage = {"input_tokens": 20, "cache_read_input_tokens": 100, "output_tokens": 30}
        message: Json = {
            "id": self._id(),
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [{"type": "text", "text": "Oslo"}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": usage,
        }
        if not streamed:
            return JSONResponse(message)
        delta = {"stop_reason": "end_turn", "stop_sequence": None}
        opening = {**message, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
        return _events(
            [
                {"type": "message_start", "message": opening},
                {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
                {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Oslo"}},
                {"type": "content_block_stop", "index": 0},
                {"type": "message_delta", "delta": delta, "usage": {"output_tokens": 30}},
                {"type": "message_stop"},
            ],
            named=True,
        )


def _candidate(parts: list[Json], finish: str | None = None) -> Json:
    found: Json = {"content": {"role": "model", "parts": parts}, "index": 0}
    return {"candidates": [{**found, "finishReason": finish} if finish else found]}


def _embedding(tokens: int) -> Json:
    return {"embeddings": {"values": [0.5], "statistics": {"token_count": tokens, "truncated": False}}}


def _events(events: list[Json], *, named: bool = False) -> Response:
    async def lines() -> AsyncIterator[str]:
        for event in events:
            name = f"event: {event.get('type') or event.get('event_type')}\n" if named else ""
            yield f"{name}data: {json.dumps(event)}\r\n\r\n"

    return StreamingResponse(lines(), media_type=EVENTS)
