"""Mistral's own calls: conversations and optical character recognition. The rest of its API is OpenAI's.

Conversations: https://docs.mistral.ai/api/endpoint/beta/conversations
Recognition: https://docs.mistral.ai/api/endpoint/ocr
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .answer import Answer
from .family import Kept, calls, without_usage
from .match import Match
from .one_body import OneBody
from .usage import Usage
from .values import count, error_of, loads, mapping, rows, text
from .wire import each_event, shorten

__all__ = ["MistralConversations", "MistralOCR"]

_EVENT_LIMIT = 16_384
_KIND = re.compile(
    rb'"type"\s*:\s*"(message\.output\.delta|function\.call\.delta|conversation\.response\.(?:done|error))"'
)
_SEARCHES = frozenset({"web_search", "web_search_premium"})


class MistralConversations:
    """Read the answers of conversations, whose outputs are entries: messages, tool calls, handoffs."""

    def __init__(self, match: Match, headers: Mapping[str, str]) -> None:
        self.first_token = False
        self.first_completion = False
        self._message: bytes | None = None
        self._calls = Kept(65_536)
        self._last: bytes | None = None

    def see(self, block: bytes) -> bool:
        """Keep what matters of the events in `block`; True at the one that ends the stream."""
        if self._message is not None and b"conversation.response" not in block and b"function.call" not in block:
            return False
        ended = False
        for event in each_event(block):
            ended |= self._keep(event)
        return ended

    def _keep(self, event: bytes) -> bool:
        match = _KIND.search(event)
        kind = match[1] if match else b""
        if kind == b"message.output.delta":
            self._message = self._message or shorten(event, _EVENT_LIMIT)
            self.first_token = self.first_completion = True
        elif kind == b"function.call.delta":
            self._calls.add(shorten(event, _EVENT_LIMIT))
            self.first_token = self.first_completion = True
        elif kind:
            self._last = shorten(event, _EVENT_LIMIT)
            return True
        return False

    def streamed(self) -> Answer:
        """Return the facts of the events kept."""
        last, message = _parse(self._last), _parse(self._message)
        deltas = [_parse(event) for event in self._calls.events]
        failure = last if "error" in str(last.get("type")) else {}
        entries = [{**message, "type": "message.output"}] if message else []
        ended = "provider sent no usage" if last else "stream ended before usage"
        return self._answer(
            entries or deltas[:1],
            last.get("usage"),
            _joined(deltas, self._calls.lost),
            failure,
            "error inside the stream" if failure else ended,
        )

    def whole(self, body: dict[str, Any]) -> Answer:
        """Return the facts of an answer in one body."""
        entries = rows(body.get("outputs"))
        called = [(name, entry.get("arguments")) for entry in entries if (name := _called(entry))]
        return self._answer(entries, body.get("usage"), called, {}, "provider sent no usage")

    def _answer(
        self,
        entries: list[dict[str, Any]],
        told: object,
        called: list[tuple[str, object]],
        failure: dict[str, Any],
        reason: str,
    ) -> Answer:
        usage = _usage(mapping(told))
        code, message = error_of(failure) if failure else (None, None)
        return Answer(
            usage=usage,
            # The conversation's own id is that of every answer in it.
            response_id=next((found for entry in entries if (found := text(entry.get("id")))), None),
            model=next((found for entry in entries if (found := text(entry.get("model")))), None),
            function_calls=calls(called),
            error_code=code,
            error_message=message,
            notes={} if usage else without_usage(reason),
        )


class MistralOCR(OneBody):
    """Read what was recognised, which is billed by the page."""

    def whole(self, body: dict[str, Any]) -> Answer:
        """Return the facts of an answer in one body."""
        pages = count(mapping(body.get("usage_info")).get("pages_processed"))
        return Answer(
            usage=None if pages is None else Usage(counts={"page": {"input": pages}}),
            model=text(body.get("model")),
            notes={} if pages is not None else without_usage("provider sent no usage"),
        )


def _parse(event: bytes | None) -> dict[str, Any]:
    return {} if event is None else loads(event) or {}


def _called(entry: dict[str, Any]) -> str | None:
    return text(entry.get("name")) if entry.get("type") == "function.call" else None


def _joined(deltas: list[dict[str, Any]], lost: bool) -> list[tuple[str, object]]:
    """Return (name, arguments) of each call, whose deltas repeat its name."""
    found: dict[object, tuple[str, list[str]]] = {}
    for delta in deltas:
        key = delta.get("tool_call_id")
        name, parts = found.setdefault(key, (text(delta.get("name")) or "", []))
        parts.append(text(delta.get("arguments"), _EVENT_LIMIT) or "")
        found[key] = (name or text(delta.get("name")) or "", parts)
    return [(name, None if lost else "".join(parts)) for name, parts in found.values() if name]


def _usage(told: dict[str, Any]) -> Usage | None:
    """Return the usage; what connectors put into the prompt is counted beside it."""
    asked, answered = count(told.get("prompt_tokens")), count(told.get("completion_tokens"))
    if asked is None and answered is None:
        return None
    connected = count(told.get("connector_tokens")) or 0
    used = {name: n for name, given in mapping(told.get("connectors")).items() if (n := count(given))}
    return Usage(
        input_tokens=None if asked is None else asked + connected,
        output_tokens=answered,
        web_search_requests=sum(n for name, n in used.items() if name in _SEARCHES) or None,
        counts={name[:64]: {"output": n} for name, n in used.items() if name not in _SEARCHES},
    )
