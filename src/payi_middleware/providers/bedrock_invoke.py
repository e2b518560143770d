"""Amazon Bedrock's `invoke`: every model in its own wire format, inside Bedrock's.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModel.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .answer import MISSING, PARTIAL, Answer
from .anthropic import Anthropic
from .bedrock_converse import EXCEPTION, BedrockConverse, named_events
from .bedrock_text import BedrockText
from .bedrock_usage import completed, guardrail_counts, header_usage, intervention, usage_from, with_counts
from .echo import Echo
from .family import Family
from .match import Match
from .openai_chat import OpenAIChat
from .values import error_of, loads, mapping
from .wire import EVENT_LIMIT, shorten

__all__ = ["BedrockInvoke"]

_METRICS = "amazon-bedrock-invocationMetrics"
_ANTHROPIC = re.compile(rb'"type"\s*:\s*"(?:message_start|content_block_\w+|message_delta|message_stop|ping)"')
_CONVERSE = re.compile(rb'data: \s*\{\s*"(?:messageStart|contentBlock\w+|messageStop|metadata)"\s*:')
_CHOICES = re.compile(rb'"choices"\s*:\s*\[')
_EVENT = b"event: chunk\n"
_DELTAS = (_EVENT + b'data: {"type":"content_block_delta"', _EVENT + b'data: {"contentBlockDelta"')


class BedrockInvoke:
    """Read an answer as the model's own format has it, and add what Bedrock tells beside it.

    The model's usage counts; where it tells none, Bedrock's metrics at the end of a stream or its headers do. The form
    decides whose format it is, as the id of a profile or of an imported model does not say which model it stands for.
    """

    def __init__(self, match: Match, headers: Mapping[str, str]) -> None:
        self.first_token = False
        self.first_completion = False
        # Imported models answer prompts (`completions`) as well as chats.
        self._match = replace(match, api="openai.completions")
        self._headers = headers
        self._model: Family | None = None
        self._echo: Echo | None = None  # of a model whose events say nothing but words
        self._beside: bytes | None = None
        self._error: tuple[bytes, bytes] | None = None

    def see(self, block: bytes) -> bool:
        """Let the model's format look at the events in `block`; True at Bedrock's metrics or an exception."""
        if self._echo is not None and self._echo.fits(block):
            return False  # nearly every event of Anthropic's and Amazon's own models ends here
        model = self._model
        if model is None:
            model = self._model = self._family(block)
        ended = model.see(block)
        if not self.first_completion:
            self.first_token, self.first_completion = model.first_token, model.first_completion
        # `rfind` takes half the time that `in` does with bytes.
        if block.rfind(b"amazon-bedrock-") >= 0 or not block.startswith(_EVENT) or block.rfind(b"\nevent: ") >= 0:
            for name, event in named_events(block):
                ended |= self._keep(name, event)
        elif self.first_completion and block.startswith(_DELTAS):
            self._echo = self._echo or Echo()
            self._echo.learn(block)
        return ended

    def _family(self, block: bytes) -> Family:
        if _ANTHROPIC.search(block):
            return Anthropic(self._match, self._headers)
        if _CONVERSE.search(block):
            return BedrockConverse(self._match, self._headers)
        if _CHOICES.search(block):
            return OpenAIChat(self._match, self._headers)
        return BedrockText(self._match, self._headers)

    def _keep(self, name: bytes, event: bytes) -> bool:
        if EXCEPTION.match(name):
            self._error = name, shorten(event, EVENT_LIMIT // 4)
            return True
        if b'"amazon-bedrock-' in event:
            self._beside = shorten(event, EVENT_LIMIT)
        return _METRICS.encode() in event

    def streamed(self) -> Answer:
        """Return the facts of the events kept."""
        answer = Answer(notes={MISSING: "stream ended before usage"}) if self._model is None else self._model.streamed()
        beside = loads(self._beside or b"") or {}
        if self._error is not None:
            name, event = self._error
            code, message = name.decode("ascii", "replace"), error_of(loads(event) or {})[1]
            answer = replace(answer, error_code=code, error_message=message)
        answer = self._completed(answer, beside, usage_from(beside.get(_METRICS)))
        if _METRICS in beside:
            return _without_note(answer, PARTIAL)
        if self._error is not None:
            note = MISSING if answer.usage is None else PARTIAL
            return replace(answer, notes={**answer.notes, note: "error inside the stream"})
        return answer

    def whole(self, body: dict[str, Any]) -> Answer:
        """Return the facts of an answer in one body."""
        return self._completed(self._family_of(body).whole(body), body, header_usage(self._headers))

    def _family_of(self, body: dict[str, Any]) -> Family:
        if body.get("type") == "message" or "input_tokens" in mapping(body.get("usage")):
            return Anthropic(self._match, self._headers)
        if "choices" in body or "prompt_tokens" in mapping(body.get("usage")):
            return OpenAIChat(self._match, self._headers)
        if isinstance(body.get("output"), dict) or "inputTokens" in mapping(body.get("usage")):
            return BedrockConverse(self._match, self._headers)
        return BedrockText(self._match, self._headers)

    def _completed(self, answer: Answer, beside: dict[str, Any], other: Any) -> Answer:
        trace = mapping(beside.get("amazon-bedrock-trace"))
        usage = with_counts(completed(answer.usage, other), guardrail_counts(trace.get("guardrail")))
        tier = self._headers.get("x-amzn-bedrock-service-tier") or answer.service_tier
        notes = {**answer.notes, **intervention(beside.get("amazon-bedrock-guardrailAction"))}
        answer = replace(answer, usage=usage, service_tier=tier, notes=notes)
        return answer if usage is None else _without_note(answer, MISSING)


def _without_note(answer: Answer, name: str) -> Answer:
    return replace(answer, notes={key: value for key, value in answer.notes.items() if key != name})
