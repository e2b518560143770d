"""FastAPI and Flask: each request's call is booked for its own user, and the response's headers tell."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import openai
from fastapi import FastAPI
from flask import Flask

from payi_middleware import PayiMiddleware, Settings, annotate, parse_headers
from payi_middleware.flask import Payi
from tests.compat.cases.metering import CHAT_MODEL, KEY, Metered, metered


def _ask(world: Metered, user: str) -> str:
    annotate(user_id=user)
    with openai.OpenAI(api_key=KEY, base_url=world.provider.openai_url) as client:
        asked: Any = {"role": "user", "content": world.prompt(user)}
        answer = client.chat.completions.create(model=CHAT_MODEL, messages=[asked])
    return str(answer.choices[0].message.content)


def _counted(headers: Any) -> bool:
    summary = parse_headers(headers)
    return summary.calls == 1 and summary.status == "final" and summary.cost is not None


async def _fastapi(world: Metered, settings: Settings) -> None:
    app = FastAPI()

    @app.get("/{user}")
    def answer(user: str) -> str:
        return _ask(world, user)

    app.add_middleware(PayiMiddleware, settings=settings)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
        responses = await asyncio.gather(*(client.get(f"/{user}") for user in ("ann", "bob", "carol")))
    assert all(_counted(response.headers) for response in responses)


def _flask(world: Metered, settings: Settings) -> None:
    app = Flask(__name__)
    Payi(app, settings=settings)

    @app.get("/<user>")
    def answer(user: str) -> str:
        return _ask(world, user)

    for user in ("dave", "erin"):
        assert _counted(app.test_client().get(f"/{user}").headers)


if __name__ == "__main__":
    with metered() as world:
        asyncio.run(_fastapi(world, world.settings))
        _flask(world, world.settings)
        world.check(calls=5)
