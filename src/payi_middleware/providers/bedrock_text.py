"""The older models of Amazon Bedrock, each of which has a form of its own, and its models for other things than chat.

Forms: https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters.html
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping
from typing import Any

from .answer import Answer
from .family import calls, without_usage
from .match import Match
from .usage import Usage
from .values import carve, count, loads, mapping, rows, text
from .wire import EVENT_LIMIT, each_event, shorten

__all__ = ["BedrockText"]

_START_LIMIT = 16_384
_VISIBLE = re.compile(rb'"(?:outputText|generation|completion|text)"\s*:\s*"[^"]')
_RERANKED_AT_ONCE = 100


class BedrockText:
    """Read Titan, Llama, Mistral's and Cohere's first models, embeddings, images and rankings.

    Some count in their answers, most do not: `BedrockInvoke` knows where else to look. A stream says what it says in
    its first event and in its last.
    """

    def __init__(self, match: Match, headers: Mapping[str, str]) -> None:
        self.first_token = False
        self.first_completion = False
        self._first: bytes | None = None
        self._last: bytes | None = None

    def see(self, block: bytes) -> bool:
        """Keep the first and the latest block; these streams have no event that ends them all."""
        if not self.first_completion and _VISIBLE.search(block):
            self.first_completion = self.first_token = True
        if self._first is None:
            self._first = shorten(next(iter(each_event(block)), b""), _START_LIMIT)
        self._last = block
        return False

    def streamed(self) -> Answer:
        """Return the facts of the first and the last event."""
        last = deque(each_event(self._last or b""), maxlen=1)
        told = _parsed(self._first or b"")
        for event in last:
            told.update((k, v) for k, v in _parsed(shorten(event, EVENT_LIMIT)).items() if v is not None)
        # Command R's last event repeats the answer, of which only this is nowhere else.
        return self.whole({"tool_calls": mapping(told.get("response")).get("tool_calls"), **told})

    def whole(self, body: dict[str, Any]) -> Answer:
        """Return the facts of an answer in one body."""
        usage = _usage(body)
        return Answer(
            usage=usage,
            response_id=text(body.get("id")) or text(body.get("response_id")),
            model=text(body.get("model")),
            finish_reason=_finish(body),
            function_calls=calls(_called(body)),
            notes={} if usage else without_usage("provider sent no usage"),
        )


def _parsed(event: bytes) -> dict[str, Any]:
    return loads(event) or carve(event)


def _usage(body: dict[str, Any]) -> Usage | None:
    results = rows(body.get("results"))
    written = [tokens for result in results if (tokens := count(result.get("tokenCount"))) is not None]
    asked = count(body.get("inputTextTokenCount"), body.get("prompt_token_count"))
    answered = count(body.get("totalOutputTextTokenCount"), body.get("generation_token_count"))
    if answered is None and written:
        answered = sum(written)
    counts = _counted(body, results)
    if asked is None and answered is None and not counts:
        return None
    return Usage(input_tokens=asked, output_tokens=answered, counts=counts)


def _counted(body: dict[str, Any], results: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """Return what is billed by the piece: images, and queries of 100 documents at most.

    https://aws.amazon.com/bedrock/pricing/
    """
    if any("relevance_score" in result for result in results):
        return {"search_unit": {"output": -(-len(results) // _RERANKED_AT_ONCE)}}
    images = body.get("images") or body.get("artifacts")
    return {"image": {"output": len(images)}} if isinstance(images, list) and images else {}


def _finish(body: dict[str, Any]) -> str | None:
    """Return the reason of the first text: Llama and Claude tell it of the answer, the others of each text."""
    texts = [body, *(row for name in ("results", "outputs", "generations") for row in rows(body.get(name))[:1])]
    names = ("stop_reason", "completionReason", "finish_reason")
    return next((found for told in texts for name in names if (found := text(told.get(name)))), None)


def _called(body: dict[str, Any]) -> list[tuple[str, object]]:
    """Return (name, arguments) of the tool calls of Cohere's Command R."""
    tools = rows(body.get("tool_calls"))
    return [(name, tool.get("parameters")) for tool in tools if (name := text(tool.get("name")))]
