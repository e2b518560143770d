"""Price lists as genai-prices publishes them, and a server that does."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, time
from decimal import Decimal
from typing import Any

from genai_prices.data import providers
from genai_prices.types import ClauseAnd, ClauseOr, ModelPrice
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.service_proxy.serving import served

NEW_MODEL = "gpt-99"


def published(value: Any) -> Any:
    """Return what genai-prices publishes of something that it has in Python."""
    if isinstance(value, ClauseOr | ClauseAnd):
        name, clauses = ("or", value.or_) if isinstance(value, ClauseOr) else ("and", value.and_)
        return {name: published(clauses)}
    if isinstance(value, ModelPrice):
        return published(value.__dict__)
    if dataclasses.is_dataclass(value):
        fields = (field.name for field in dataclasses.fields(value) if not field.name.startswith("_"))
        return published({name: getattr(value, name) for name in fields})
    if isinstance(value, dict):
        return {name: published(item) for name, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [published(item) for item in value]
    if isinstance(value, Decimal):
        return float(value)
    return value.isoformat() if isinstance(value, date | time) else value


def built_in() -> bytes:
    """Return the list that came with the installed genai-prices."""
    return json.dumps(published(providers)).encode()


def small(usd: float, models: tuple[str, ...] = ("gpt-4o", NEW_MODEL)) -> bytes:
    """Return a list of OpenAI's models, of which a million input tokens cost so much."""
    listed = [{"id": name, "match": {"equals": name}, "prices": {"input_mtok": usd}} for name in models]
    openai = {"id": "openai", "name": "OpenAI", "api_pattern": "x", "models": listed}
    return json.dumps([openai]).encode()


@contextmanager
def publishing(body: bytes, status: int = 200) -> Iterator[str]:
    """Serve a list, and give its URL."""

    async def answer(_request: Request) -> Response:
        return Response(body, status)

    with served(Starlette(routes=[Route("/data.json", answer)])) as url:
        yield f"{url}/data.json"
