"""What the handlers under test call a provider with, and what they say to it.

The prompt says whom the call is for. That is the truth: it travels in the body, from the inbound request's body, and
nothing of ours reads it.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any, Self

import httpx2
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from payi_middleware import track_context
from payi_middleware.demo.provider import HEADER, Provider

_LATENCY = {HEADER: json.dumps({"latency": 0.004})}
DELEGATE = "'s delegate"
CONNECTIONS = 16
"""Fewer than there are users, so that one user's connection is handed on to another's call."""
POOL_NAME = "shared-pool"
POOL_THREADS = 8


@dataclass(frozen=True, slots=True)
class Truth:
    """Whom a provider call is for, and in which use case; None where nobody, or none, was named."""

    user: str | None
    use_case: str | None = None
    app: str | None = None

    @property
    def prompt(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def of(cls, prompt: str) -> Truth:
        return cls(**json.loads(prompt))

    @property
    def inner(self) -> Truth:
        """What holds in the block that each ask opens."""
        return Truth(f"{self.user}{DELEGATE}", "inner", self.app)


def chat(truth: Truth) -> dict[str, Any]:
    """Write a chat completion's request body."""
    return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": truth.prompt}]}


class Kit:
    """One provider client of each colour and one thread pool, shared by all requests of an app."""

    def __init__(self, provider: Provider) -> None:
        self._options: dict[str, Any] = {
            "base_url": provider.openai_url,
            "headers": _LATENCY,
            "limits": httpx2.Limits(max_connections=CONNECTIONS),
            "timeout": 30.0,
            "verify": False,
        }
        self.client = httpx2.Client(**self._options)
        self.async_client = self.new_async_client()
        self.pool = ThreadPoolExecutor(POOL_THREADS, thread_name_prefix=POOL_NAME)

    def new_async_client(self) -> httpx2.AsyncClient:
        """Make a client for another event loop."""
        return httpx2.AsyncClient(**self._options)

    def call(self, truth: Truth) -> None:
        """Call the provider once."""
        self.client.post("/chat/completions", json=chat(truth)).raise_for_status()

    async def acall(self, truth: Truth, client: httpx2.AsyncClient | None = None) -> None:
        """Call the provider once."""
        (await (client or self.async_client).post("/chat/completions", json=chat(truth))).raise_for_status()

    def ask(self, truth: Truth) -> None:
        """Call the provider twice: for somebody else in a block of its own, then as what holds outside of it."""
        with track_context(user_id=truth.inner.user, use_case_name="inner"):
            self.call(truth.inner)
        self.call(truth)

    async def aask(self, truth: Truth, client: httpx2.AsyncClient | None = None) -> None:
        """Call the provider twice: for somebody else in a block of its own, then as what holds outside of it."""
        async with track_context(user_id=truth.inner.user, use_case_name="inner"):
            await self.acall(truth.inner, client)
        await self.acall(truth, client)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.pool.shutdown()
        self.client.close()


class ClosesOnShutdown:
    """ASGI middleware that closes the async client on the event loop that used it."""

    def __init__(self, app: ASGIApp, client: Any) -> None:
        self.app = app
        self._client = client

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_closed(message: Message) -> None:
            if message["type"] == "lifespan.shutdown.complete":
                await self._client.aclose()
            await send(message)

        await self.app(scope, receive, send_closed if scope["type"] == "lifespan" else send)
