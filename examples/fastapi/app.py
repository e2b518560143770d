"""A FastAPI app that asks OpenAI and Anthropic; the two payi_middleware lines tell who spent what."""

import asyncio
from collections.abc import AsyncIterator
from functools import cache

from anthropic import AsyncAnthropic
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from openai import AsyncOpenAI
from pydantic import BaseModel

from payi_middleware.fastapi import instrument_app

OPENAI_MODEL = "gpt-4o-mini"
ANTHROPIC_MODEL = "claude-haiku-4-5"

app = FastAPI(title="payi-middleware example")
instrument_app(app)


class Question(BaseModel):
    message: str


# The SDKs read OPENAI_API_KEY, OPENAI_BASE_URL, ANTHROPIC_API_KEY and ANTHROPIC_BASE_URL themselves.
@cache
def openai_client() -> AsyncOpenAI:
    return AsyncOpenAI()


@cache
def anthropic_client() -> AsyncAnthropic:
    return AsyncAnthropic()


async def ask_openai(message: str) -> str:
    completion = await openai_client().chat.completions.create(
        model=OPENAI_MODEL, max_tokens=100, messages=[{"role": "user", "content": message}]
    )
    return completion.choices[0].message.content or ""


async def ask_anthropic(message: str) -> str:
    answer = await anthropic_client().messages.create(
        model=ANTHROPIC_MODEL, max_tokens=100, messages=[{"role": "user", "content": message}]
    )
    return "".join(block.text for block in answer.content if block.type == "text")


@app.get("/healthz")
async def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/chat")
async def chat(question: Question) -> dict[str, str]:
    return {"openai": await ask_openai(question.message)}


@app.post("/compare")
async def compare(question: Question) -> dict[str, str]:
    by_openai, by_anthropic = await asyncio.gather(ask_openai(question.message), ask_anthropic(question.message))
    return {"openai": by_openai, "anthropic": by_anthropic}


@app.post("/stream")
async def stream(question: Question) -> StreamingResponse:
    async def pieces() -> AsyncIterator[str]:
        chunks = await openai_client().chat.completions.create(
            model=OPENAI_MODEL,
            max_tokens=100,
            messages=[{"role": "user", "content": question.message}],
            stream=True,
            stream_options={"include_usage": True},
        )
        async with chunks:
            async for chunk in chunks:
                if chunk.choices:
                    yield chunk.choices[0].delta.content or ""

    return StreamingResponse(pieces(), media_type="text/plain")
