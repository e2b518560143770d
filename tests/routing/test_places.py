"""Where each provider's calls go, and what Pay-i is told with them."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import pytest

from payi_middleware.providers import recognise
from payi_middleware.routing import Asked, Route, Unroutable, route_of

PAYI = "https://payi.example.com"
CUSTOM: Mapping[str, tuple[str, str | None]] = {
    "llm.internal": ("openai", None),
    "own.internal": ("openai", "my.category"),
    "azure.internal": ("openai", "system.azureopenai"),
    "claude.internal": ("anthropic", None),
    "bedrock.internal": ("bedrock", None),
}
ROUTES = {
    "https://api.openai.com/v1/chat/completions": ("openai/v1/chat/completions", None),
    "https://eu.api.openai.com/v1/responses?x=%20": ("openai/v1/responses?x=%20", "https://eu.api.openai.com/v1"),
    "https://r.openai.azure.com/openai/deployments/d/chat/completions?api-version=2024-10-21": (
        "azure.openai/openai/deployments/d/chat/completions?api-version=2024-10-21",
        "https://r.openai.azure.com",
    ),
    "https://r.services.ai.azure.com/anthropic/v1/messages": (
        "azure.anthropic/v1/messages",
        "https://r.services.ai.azure.com/anthropic",
    ),
    "https://api.anthropic.com/v1/messages?beta=true": ("anthropic/v1/messages?beta=true", None),
    "https://bedrock-runtime.us-east-1.amazonaws.com/model/a.b%3A0/converse": (
        "aws.bedrock/model/a.b%3A0/converse",
        "https://bedrock-runtime.us-east-1.amazonaws.com",
    ),
    "http://llm.internal/v1/chat/completions": ("openai/v1/chat/completions", "http://llm.internal/v1"),
    "http://llm.internal:81/a/v1/b/chat/completions": (
        "openai/v1/b/chat/completions",
        "http://llm.internal:81/a/v1",
    ),
    "http://llm.internal/chat/completions": ("openai/v1/completions", "http://llm.internal/chat"),
    "http://azure.internal/openai/deployments/d/chat/completions": (
        "azure.openai/openai/deployments/d/chat/completions",
        "http://azure.internal",
    ),
    "http://claude.internal/x/v1/messages": ("anthropic/v1/messages", "http://claude.internal/x"),
    "http://bedrock.internal/model/a.b/converse": ("aws.bedrock/model/a.b/converse", "http://bedrock.internal"),
}


def route(url: str, item: Mapping[str, Any] | None = None, **more: Any) -> Route:
    parts = urlsplit(url)
    headers = {"anthropic-version": "2023-06-01", "content-type": "application/json"}
    match = recognise("POST", parts.hostname or "", parts.port, parts.path, headers, CUSTOM)
    assert match is not None
    asked = Asked(parts.scheme, parts.netloc, parts.path, parts.query)
    return route_of(PAYI, "key-1", match, asked, item or {}, **{"log_content": False, **more})


@pytest.mark.parametrize("url", ROUTES)
def test_a_call_goes_to_its_provider_s_place(url: str) -> None:
    place, base_uri = ROUTES[url]
    found = route(url)

    assert found.url == f"{PAYI}/api/v1/proxy/{place}"
    assert found.headers.get("xProxy-Provider-BaseUri") == base_uri
    assert found.headers["xProxy-api-key"] == "key-1"
    assert found.headers["xProxy-Logging-Disable"] == "True"


@pytest.mark.parametrize(
    "url",
    [
        "https://api.mistral.ai/v1/chat/completions",
        "https://api.cohere.com/v2/chat",
        "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-pro:generateContent",
        "https://api.groq.com/openai/v1/chat/completions",
        "https://nobody-knows.example.com/v1/chat/completions",
    ],
)
def test_other_providers_have_no_place(url: str) -> None:
    with pytest.raises(Unroutable):
        route(url)


def test_every_annotation_travels() -> None:
    item = {
        "user_id": "u",
        "account_name": "a",
        "use_case_name": "n",
        "use_case_id": "i",
        "use_case_version": 3,
        "use_case_step": "s",
        "scope": "datazone.us",
        "limit_ids": ["l1", "l2"],
        "request_tags": ["t"],
        "properties": {"stadt": "K\u00f6ln"},
        "use_case_properties": {"x": None},
        "price_as_category": "c",
        "price_as_resource": "r",
    }
    headers = dict(route("https://api.openai.com/v1/embeddings", item, log_content=True).headers)

    assert json.loads(b64decode(headers.pop("xProxy-Request-Properties"))) == {"stadt": "K\u00f6ln"}
    assert json.loads(b64decode(headers.pop("xProxy-UseCase-Properties"))) == {"x": None}
    assert headers == {
        "xProxy-User-ID": "u",
        "xProxy-Account-Name": "a",
        "xProxy-UseCase-Name": "n",
        "xProxy-UseCase-ID": "i",
        "xProxy-UseCase-Version": "3",
        "xProxy-UseCase-Step": "s",
        "xProxy-Resource-Scope": "datazone.us",
        "xProxy-Limit-IDs": "l1,l2",
        "xProxy-Request-Tags": "t",
        "xProxy-PriceAs-Category": "c",
        "xProxy-PriceAs-Resource": "r",
        "xProxy-Logging-Disable": "False",
        "xProxy-api-key": "key-1",
    }


def test_a_host_s_own_category_is_what_its_calls_are_priced_in() -> None:
    assert route("http://own.internal/v1/embeddings").headers["xProxy-PriceAs-Category"] == "my.category"
    said = route("http://own.internal/v1/embeddings", {"price_as_category": "c"})
    assert said.headers["xProxy-PriceAs-Category"] == "c"


@pytest.mark.parametrize(
    "item",
    [
        {"user_id": "M\u00fcller"},
        {"user_id": "a\r\nx-evil: 1"},
        {"limit_ids": ["a,b"]},
        {"price_as_resource": "caf\u00e9"},
        {"properties": {"x": "y" * 9000}},
    ],
    ids=["beyond-ascii", "line-break", "comma", "resource", "too-long"],
)
def test_what_cannot_travel_is_not_routed(item: dict[str, Any]) -> None:
    with pytest.raises(Unroutable):
        route("https://api.openai.com/v1/embeddings", item)
