"""Files of batch results: one answer per line, from OpenAI and Anthropic.

OpenAI: https://platform.openai.com/docs/api-reference/batch/request-output
Anthropic: https://docs.anthropic.com/en/api/retrieving-message-batch-results
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from . import anthropic, openai_usage
from .answer import Answer
from .family import without_usage
from .match import Match
from .usage import Usage, added
from .values import carve, loads, mapping, text
from .wire import each_event, shorten

__all__ = ["AnthropicBatchResults", "OpenAIBatchResults"]

_LINE_LIMIT = 65_536
BATCH = "system.batch.answers"


class _BatchResults:
    """Add up the usage of the answers as they pass by; a file that is anything else is no inference.

    The id of the first answer stands for all of them, so that a file that is downloaded again counts once.
    """

    def __init__(self, read: Callable[[object, str], Usage | None], match: Match) -> None:
        self.first_token = False
        self.first_completion = False
        self._read = read
        self._provider = match.provider
        self._foreign = False
        self._answers = 0
        self._usage: Usage | None = None
        self._id: str | None = None
        self._model: str | None = None

    def _answer_of(self, line: dict[str, Any]) -> dict[str, Any]:
        """Return the answer in a line, empty where the request failed."""
        raise NotImplementedError

    def see(self, block: bytes) -> bool:
        """Add up the answers in `block`; there is no terminal event."""
        if self._foreign:
            return False
        for raw in each_event(block):
            line = loads(raw)
            if line is None and b'"custom_id"' in raw:
                self._add(carve(shorten(raw, _LINE_LIMIT)))
            elif line is not None and "custom_id" in line:
                self._add(self._answer_of(line))
            elif not self._answers:
                self._foreign = True
                break
        return False

    def _add(self, answer: dict[str, Any]) -> None:
        usage = self._read(answer.get("usage"), self._provider)
        if usage is None:
            return
        self._answers += 1
        self._usage = usage if self._usage is None else added(self._usage, usage)
        self._id = self._id or text(answer.get("id"))
        self._model = self._model or text(answer.get("model"))

    def streamed(self) -> Answer:
        """Return the sum of what the answers consumed."""
        return Answer(
            usage=self._usage,
            response_id=self._id,
            model=self._model,
            service_tier="batch",
            notes={BATCH: str(self._answers)} if self._usage else without_usage("no batch results"),
            inference=self._usage is not None,
        )

    def whole(self, body: dict[str, Any]) -> Answer:
        """Return nothing: results are lines."""
        return Answer(notes=without_usage("no batch results"), inference=False)


class OpenAIBatchResults(_BatchResults):
    """Read a batch's output file; any other file that is downloaded has no such lines."""

    def __init__(self, match: Match, headers: Mapping[str, str]) -> None:
        super().__init__(openai_usage.usage_from, match)

    def _answer_of(self, line: dict[str, Any]) -> dict[str, Any]:
        return mapping(mapping(line.get("response")).get("body"))


class AnthropicBatchResults(_BatchResults):
    """Read the results of a message batch."""

    def __init__(self, match: Match, headers: Mapping[str, str]) -> None:
        super().__init__(anthropic.usage_from, match)

    def _answer_of(self, line: dict[str, Any]) -> dict[str, Any]:
        return mapping(mapping(line.get("result")).get("message"))
