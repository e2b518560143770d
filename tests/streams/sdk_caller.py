"""A program that calls an app with the SDK of openai or of anthropic, and knows nothing of the middleware.

Its arguments are the SDK's name and the app's URL. It prints as JSON what the SDK made of the stream, and what its
caller finds out of the cost, from the headers, from the last event and from the results route.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urljoin

import anthropic
import httpx
import openai

USER = {"X-User-ID": "alice"}
ASKED: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello?"}]}
OPENAI = {**ASKED, "model": "gpt-4o-mini"}
ANTHROPIC = {**ASKED, "model": "claude-haiku-4-5", "max_tokens": 100}


def last_event(lines: Iterable[str]) -> Any:
    """Return what the event named payi says."""
    told, event = None, ""
    for line in lines:
        if line.startswith("event:"):
            event = line.removeprefix("event:").strip()
        elif line.startswith("data:") and event == "payi":
            told = json.loads(line.removeprefix("data:"))
        elif not line:
            event = ""
    return told


def openai_words(stream: Iterable[Any]) -> Iterator[str]:
    """Yield what a stream of chunks says."""
    for chunk in stream:
        yield from (choice.delta.content or "" for choice in chunk.choices)


def with_openai(url: str) -> tuple[str, Mapping[str, str], Any]:
    """Return the text, the headers and the last event."""
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, default_headers=USER) as client:
        raw = client.chat.completions.with_raw_response.create(**OPENAI, stream=True)
        text = "".join(openai_words(raw.parse()))
        with client.chat.completions.with_streaming_response.create(**OPENAI, stream=True) as response:
            return text, dict(raw.headers), last_event(response.iter_lines())


def with_anthropic(url: str) -> tuple[str, Mapping[str, str], Any]:
    """Return the text, the headers and the last event."""
    with anthropic.Anthropic(base_url=url, api_key="none", max_retries=0, default_headers=USER) as client:
        with client.messages.stream(**ANTHROPIC) as stream:
            text, headers = stream.get_final_text(), dict(stream.response.headers)
        with client.messages.with_streaming_response.create(**ANTHROPIC, stream=True) as response:
            return text, headers, last_event(response.iter_lines())


def main(sdk: str, url: str) -> None:
    """Call, and tell."""
    text, headers, event = {"openai": with_openai, "anthropic": with_anthropic}[sdk](url)
    route: Any = None
    if path := {name.lower(): value for name, value in headers.items()}.get("x-payi-results"):
        answer = httpx.get(urljoin(url, path), headers=USER, trust_env=False, timeout=60)
        route = answer.json()
    json.dump({"text": text, "headers": dict(headers), "event": event, "route": route}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
