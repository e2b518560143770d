"""Apps that stream in the formats of OpenAI and Anthropic what a provider answers: FastAPI and Flask."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

from anthropic import Anthropic, AsyncAnthropic
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import StreamingResponse
from flask import Flask, Response, request
from openai import AsyncOpenAI, OpenAI
from waitress.server import create_server

from payi_middleware import Settings
from payi_middleware.demo.provider import Provider
from payi_middleware.fastapi import instrument_app
from payi_middleware.flask import Payi
from tests.attribution.asgi_serving import serving

EVENTS = "text/event-stream"


def fastapi_app(provider: Provider, settings: Settings, *, origin: str = "") -> FastAPI:
    """Make the app; scripts of `origin` may ask it."""
    app = FastAPI()

    async def chunks(body: dict[str, Any]) -> AsyncIterator[str]:
        async with AsyncOpenAI(base_url=provider.openai_url, api_key="none", max_retries=0) as client:
            asked = {**body, "stream_options": {"include_usage": True}}
            async for chunk in await client.chat.completions.create(**asked):
                yield f"data: {chunk.model_dump_json()}\n\n"
        yield "data: [DONE]\n\n"

    async def events(body: dict[str, Any]) -> AsyncIterator[str]:
        async with AsyncAnthropic(base_url=provider.anthropic_url, api_key="none", max_retries=0) as client:
            async for event in await client.messages.create(**body):
                yield f"event: {event.type}\ndata: {event.model_dump_json()}\n\n"

    @app.post("/v1/chat/completions")
    async def completions(body: dict[str, Any]) -> StreamingResponse:
        return StreamingResponse(chunks(body), media_type=EVENTS)

    @app.post("/v1/messages")
    async def messages(body: dict[str, Any]) -> StreamingResponse:
        return StreamingResponse(events(body), media_type=EVENTS)

    @app.get("/listen")
    async def listen() -> StreamingResponse:
        asked = {"model": "gpt-4o-mini", "stream": True, "messages": [{"role": "user", "content": "Hello?"}]}
        return StreamingResponse(chunks(asked), media_type=EVENTS)

    if origin:
        app.add_middleware(
            CORSMiddleware, allow_origins=[origin], allow_methods=["*"], allow_headers=["*"], allow_credentials=True
        )
    instrument_app(app, settings)
    return app


def flask_app(provider: Provider, settings: Settings) -> Flask:
    """Make the app."""
    app = Flask(__name__)

    def chunks(body: dict[str, Any]) -> Iterator[str]:
        with OpenAI(base_url=provider.openai_url, api_key="none", max_retries=0) as client:
            asked = {**body, "stream_options": {"include_usage": True}}
            for chunk in client.chat.completions.create(**asked):
                yield f"data: {chunk.model_dump_json()}\n\n"
        yield "data: [DONE]\n\n"

    def events(body: dict[str, Any]) -> Iterator[str]:
        with Anthropic(base_url=provider.anthropic_url, api_key="none", max_retries=0) as client:
            for event in client.messages.create(**body):
                yield f"event: {event.type}\ndata: {event.model_dump_json()}\n\n"

    @app.post("/v1/chat/completions")
    def completions() -> Response:
        return Response(chunks(request.get_json()), mimetype=EVENTS)

    @app.post("/v1/messages")
    def messages() -> Response:
        return Response(events(request.get_json()), mimetype=EVENTS)

    Payi(app, settings)
    return app


@contextmanager
def served_fastapi(provider: Provider, settings: Settings) -> Iterator[str]:
    """Serve it by uvicorn, and yield its URL."""
    with serving(fastapi_app(provider, settings)) as address:
        yield f"http://{address}"


@contextmanager
def served_flask(provider: Provider, settings: Settings) -> Iterator[str]:
    """Serve it by waitress, and yield its URL."""
    connections: dict[int, Any] = {}
    server = create_server(flask_app(provider, settings), host="127.0.0.1", port=0, map=connections)
    thread = threading.Thread(target=server.run, name="waitress", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.effective_port}"
    finally:
        server.close()
        thread.join(20)
