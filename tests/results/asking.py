"""Every way to ask the openai and anthropic SDKs: each returns the object that the app holds in the end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anthropic
import openai
from pydantic import BaseModel

from tests.transport.calling import CHAT, MESSAGE, PROMPT

ASK_RESPONSES: dict[str, Any] = {"model": "gpt-4o-mini", "input": PROMPT}


class Anything(BaseModel):
    """What a structured answer is parsed into."""


def _chat_stream(client: openai.OpenAI) -> Any:
    stream = client.chat.completions.create(**CHAT, stream=True)
    list(stream)
    return stream


def _chat_manager(client: openai.OpenAI) -> Any:
    with client.chat.completions.stream(**CHAT) as stream:
        list(stream)
    return stream


def _responses_stream(client: openai.OpenAI) -> Any:
    stream = client.responses.create(**ASK_RESPONSES, stream=True)
    list(stream)
    return stream


def _responses_manager(client: openai.OpenAI) -> Any:
    with client.responses.stream(**ASK_RESPONSES) as stream:
        list(stream)
    return stream


OPENAI: dict[str, Callable[[openai.OpenAI], Any]] = {
    "chat": lambda client: client.chat.completions.create(**CHAT),
    "chat parse": lambda client: client.chat.completions.parse(**CHAT),
    "chat raw": lambda client: client.chat.completions.with_raw_response.create(**CHAT).parse(),
    "chat stream": _chat_stream,
    "chat stream()": _chat_manager,
    "responses": lambda client: client.responses.create(**ASK_RESPONSES),
    "responses parse": lambda client: client.responses.parse(**ASK_RESPONSES),
    "responses raw": lambda client: client.responses.with_raw_response.create(**ASK_RESPONSES).parse(),
    "responses stream": _responses_stream,
    "responses stream()": _responses_manager,
    "embeddings": lambda client: client.embeddings.create(model="text-embedding-3-small", input="hello"),
    "completions": lambda client: client.completions.create(model="gpt-3.5-turbo-instruct", prompt="hello"),
}


async def _achat_stream(client: openai.AsyncOpenAI) -> Any:
    stream = await client.chat.completions.create(**CHAT, stream=True)
    assert [chunk async for chunk in stream]
    return stream


async def _achat_manager(client: openai.AsyncOpenAI) -> Any:
    async with client.chat.completions.stream(**CHAT) as stream:
        assert [event async for event in stream]
    return stream


async def _achat_raw(client: openai.AsyncOpenAI) -> Any:
    return (await client.chat.completions.with_raw_response.create(**CHAT)).parse()


async def _aresponses_manager(client: openai.AsyncOpenAI) -> Any:
    async with client.responses.stream(**ASK_RESPONSES) as stream:
        assert [event async for event in stream]
    return stream


ASYNC_OPENAI: dict[str, Callable[[openai.AsyncOpenAI], Awaitable[Any]]] = {
    "chat": lambda client: client.chat.completions.create(**CHAT),
    "chat parse": lambda client: client.chat.completions.parse(**CHAT),
    "chat raw": _achat_raw,
    "chat stream": _achat_stream,
    "chat stream()": _achat_manager,
    "responses": lambda client: client.responses.create(**ASK_RESPONSES),
    "responses stream()": _aresponses_manager,
}


def _message_events(client: anthropic.Anthropic) -> Any:
    stream = client.messages.create(**MESSAGE, stream=True)
    list(stream)
    return stream


def _message_manager(client: anthropic.Anthropic) -> Any:
    with client.messages.stream(**MESSAGE) as stream:
        list(stream)
    return stream


ANTHROPIC: dict[str, Callable[[anthropic.Anthropic], Any]] = {
    "messages": lambda client: client.messages.create(**MESSAGE),
    "messages raw": lambda client: client.messages.with_raw_response.create(**MESSAGE).parse(),
    "messages events": _message_events,
    "messages stream()": _message_manager,
    "beta": lambda client: client.beta.messages.create(**MESSAGE),
}


async def _amessage_events(client: anthropic.AsyncAnthropic) -> Any:
    stream = await client.messages.create(**MESSAGE, stream=True)
    assert [event async for event in stream]
    return stream


async def _amessage_manager(client: anthropic.AsyncAnthropic) -> Any:
    async with client.messages.stream(**MESSAGE) as stream:
        assert [event async for event in stream]
    return stream


async def _amessage_raw(client: anthropic.AsyncAnthropic) -> Any:
    return await (await client.messages.with_raw_response.create(**MESSAGE)).parse()


ASYNC_ANTHROPIC: dict[str, Callable[[anthropic.AsyncAnthropic], Awaitable[Any]]] = {
    "messages": lambda client: client.messages.create(**MESSAGE),
    "messages raw": _amessage_raw,
    "messages events": _amessage_events,
    "messages stream()": _amessage_manager,
}
