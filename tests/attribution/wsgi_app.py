"""A Flask app that asks providers in the ways sync apps do; every prompt names the user who asked."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from anthropic import Anthropic
from flask import Flask, Response, request, stream_with_context
from groq import Groq
from openai import AsyncOpenAI, OpenAI

from payi_middleware import Settings
from payi_middleware.flask import Payi
from tests.attribution.wsgi_world import prompt

Gate = Callable[[], object]
"""Returns once all users have come to it, so that their requests overlap for certain."""

THREADS_EACH = 3


class Providers:
    """Sync clients of three SDKs, shared by all threads as apps share them.

    Args:
        url: the stand-in provider's address.
    """

    def __init__(self, url: str) -> None:
        self.openai_url = f"{url}/v1"
        self.openai = OpenAI(base_url=self.openai_url, api_key="none", max_retries=0)
        self.anthropic = Anthropic(base_url=url, api_key="none", max_retries=0)
        self.groq = Groq(base_url=url, api_key="none", max_retries=0)

    def ask_openai(self, user: str) -> str:
        answer = self.openai.chat.completions.create(model="gpt-4o-mini", messages=_messages(user))
        return answer.choices[0].message.content or ""

    def ask_anthropic(self, user: str) -> str:
        answer = self.anthropic.messages.create(model="claude-haiku-4-5", max_tokens=50, messages=_messages(user))
        return answer.id

    def ask_groq(self, user: str) -> str:
        answer = self.groq.chat.completions.create(model="llama-3.1-8b-instant", messages=_messages(user))
        return answer.id

    async def aask_openai(self, user: str) -> str:
        async with AsyncOpenAI(base_url=self.openai_url, api_key="none", max_retries=0) as client:
            answer = await client.chat.completions.create(model="gpt-4o-mini", messages=_messages(user))
        return answer.id

    def stream_openai(self, user: str, gate: Gate) -> Iterator[str]:
        """Ask when the first piece is wanted, and let all users' streams advance in step."""
        gate()
        yield "asking\n"
        with self.openai.chat.completions.create(
            model="gpt-4o-mini", messages=_messages(user), stream=True, stream_options={"include_usage": True}
        ) as chunks:
            for chunk in chunks:
                gate()
                yield f"{chunk.id}\n"

    def close(self) -> None:
        for client in (self.openai, self.anthropic, self.groq):
            client.close()


def _messages(user: str) -> Any:
    return [{"role": "user", "content": prompt(user)}]


def make_app(providers: Providers, gate: Gate, settings: Settings | None = None) -> Flask:
    """Make the app."""
    app = Flask(__name__)
    Payi(app, settings)
    _add_plain_views(app, providers, gate)
    _add_threaded_views(app, providers, gate)
    _add_streamed_views(app, providers, gate)
    return app


def _user() -> str:
    return request.headers["X-User-ID"]


def _add_plain_views(app: Flask, providers: Providers, gate: Gate) -> None:
    asks = {"openai": providers.ask_openai, "anthropic": providers.ask_anthropic, "groq": providers.ask_groq}

    @app.get("/sync/<sdk>")
    def sync(sdk: str) -> str:
        gate()
        return asks[sdk](_user())

    @app.get("/async")
    async def asynchronous() -> str:
        gate()
        return await providers.aask_openai(_user())

    @app.get("/async/gather")
    async def gathered() -> str:
        gate()
        user = _user()
        asked = [providers.aask_openai(user) for _ in range(THREADS_EACH - 1)]
        return "".join(await asyncio.gather(*asked, asyncio.to_thread(providers.ask_openai, user)))


def _add_threaded_views(app: Flask, providers: Providers, gate: Gate) -> None:
    shared = ThreadPoolExecutor(8)

    @app.get("/pool")
    def pool() -> str:
        gate()
        with ThreadPoolExecutor(THREADS_EACH) as own:
            return "".join(own.map(providers.ask_openai, [_user()] * THREADS_EACH))

    @app.get("/shared-pool")
    def shared_pool() -> str:
        gate()
        return "".join(shared.map(providers.ask_openai, [_user()] * THREADS_EACH))

    @app.get("/threads")
    def threads() -> str:
        gate()
        started = [threading.Thread(target=providers.ask_openai, args=(_user(),)) for _ in range(THREADS_EACH)]
        for thread in started:
            thread.start()
        for thread in started:
            thread.join()
        return "done"


def _add_streamed_views(app: Flask, providers: Providers, gate: Gate) -> None:
    @app.get("/stream")
    def stream() -> Response:
        return Response(providers.stream_openai(_user(), gate))

    @app.get("/stream/with-context")
    def stream_in_context() -> Response:
        def pieces() -> Iterator[str]:
            yield from providers.stream_openai(_user(), gate)

        return Response(stream_with_context(pieces()))


def everybody(users: Sequence[str]) -> Gate:
    """Make a gate that opens when each of the users stands at it."""
    return threading.Barrier(len(users), timeout=30).wait
