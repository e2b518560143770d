"""An app whose handler calls a provider, and which can make the calls of an hour at once: `outage` tells it when."""

from __future__ import annotations

import asyncio

import httpx2
from opentelemetry.context import Context, attach, detach
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from tests.delivery.backlogged import calls, resident

from benchmarks.answers import FAMILIES
from benchmarks.making import BODY
from benchmarks.serving import serve
from payi_middleware import PayiMiddleware, Settings, instrument

PROVIDER = "https://api.openai.com/v1/chat/completions"
ASKED = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}]}
_ANSWER = FAMILIES["OpenAI chat"].body.replace(b'"id":"', b'"id":"%d-', 1)
_settings = Settings()
_meter = instrument(_settings)
_made = 0


def _answer(request: httpx2.Request) -> httpx2.Response:
    global _made
    _made += 1
    return httpx2.Response(200, headers=BODY, stream=httpx2.ByteStream(_ANSWER % _made))


_client = httpx2.AsyncClient(transport=httpx2.MockTransport(_answer))


async def ask(request: Request) -> Response:
    """Make one provider call."""
    await _client.post(PROVIDER, json=ASKED)
    return PlainTextResponse("answered")


def _outside(count: int) -> None:
    token = attach(Context())
    try:
        calls(_meter, 0, count)
    finally:
        detach(token)


async def make(request: Request) -> Response:
    """Make many, on a thread, no faster than they are read, and not as this request's."""
    global _made
    count = int(request.query_params["count"])
    await asyncio.to_thread(_outside, count)
    _made += count
    return JSONResponse({})


async def tell(request: Request) -> Response:
    """Say what has become of them, and the megabytes of memory in use."""
    return JSONResponse({**_meter.stats(), "made": _made, "resident": resident()})


app = Starlette(routes=[Route("/", ask), Route("/make", make, methods=["POST"]), Route("/stats", tell)])

if __name__ == "__main__":
    serve(PayiMiddleware(app, _settings))
