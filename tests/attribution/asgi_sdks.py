"""The providers' own SDKs of either colour, plain and streamed, as handlers use them."""

from __future__ import annotations

from contextlib import AsyncExitStack, ExitStack
from typing import Any

from anthropic import Anthropic, AsyncAnthropic
from groq import AsyncGroq, Groq
from openai import AsyncOpenAI, OpenAI

from payi_middleware.demo.provider import Provider
from tests.attribution.asgi_kit import Truth

CALLS = 6


def _options(url: str) -> dict[str, Any]:
    return {"base_url": url, "api_key": "none", "max_retries": 0, "timeout": 60.0}


def _chat(truth: Truth, **more: Any) -> dict[str, Any]:
    return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": truth.prompt}], **more}


def _message(truth: Truth, **more: Any) -> dict[str, Any]:
    return _chat(truth, max_tokens=64, **more) | {"model": "claude-haiku-4-5"}


class Sdks:
    """A sync client of each SDK, shared by all requests."""

    def __init__(self, provider: Provider) -> None:
        self.openai = OpenAI(**_options(provider.openai_url))
        self.anthropic = Anthropic(**_options(provider.anthropic_url))
        self.groq = Groq(**_options(provider.groq_url))

    def ask(self, user: str) -> None:
        """Ask each provider for a plain and for a streamed answer."""
        said = [Truth(user, app=name) for name in ("openai", "anthropic", "groq")]
        self.openai.chat.completions.create(**_chat(said[0]))
        self.anthropic.messages.create(**_message(said[1]))
        self.groq.chat.completions.create(**_chat(said[2]))
        streams: list[Any] = [
            self.openai.chat.completions.create(**_chat(said[0], stream=True)),
            self.anthropic.messages.create(**_message(said[1], stream=True)),
            self.groq.chat.completions.create(**_chat(said[2], stream=True)),
        ]
        with ExitStack() as stack:
            for stream in streams:
                list(stack.enter_context(stream))

    def close(self) -> None:
        for client in (self.openai, self.anthropic, self.groq):
            client.close()


class AsyncSdks:
    """An async client of each SDK, shared by all requests."""

    def __init__(self, provider: Provider) -> None:
        self.openai = AsyncOpenAI(**_options(provider.openai_url))
        self.anthropic = AsyncAnthropic(**_options(provider.anthropic_url))
        self.groq = AsyncGroq(**_options(provider.groq_url))

    async def ask(self, user: str) -> None:
        """Ask each provider for a plain and for a streamed answer."""
        said = [Truth(user, app=name) for name in ("openai", "anthropic", "groq")]
        await self.openai.chat.completions.create(**_chat(said[0]))
        await self.anthropic.messages.create(**_message(said[1]))
        await self.groq.chat.completions.create(**_chat(said[2]))
        streams: list[Any] = [
            await self.openai.chat.completions.create(**_chat(said[0], stream=True)),
            await self.anthropic.messages.create(**_message(said[1], stream=True)),
            await self.groq.chat.completions.create(**_chat(said[2], stream=True)),
        ]
        async with AsyncExitStack() as stack:
            for stream in streams:
                async for _ in await stack.enter_async_context(stream):
                    pass

    async def aclose(self) -> None:
        for client in (self.openai, self.anthropic, self.groq):
            await client.close()
