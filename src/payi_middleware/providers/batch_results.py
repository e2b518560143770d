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

__all__ = ["BatchResults", "anthropic_results", "openai_results"]

_LINE_LIMIT = 65_536
BATCH = "system.batch.answers"


class BatchResults:
    """Add up the usage of the answers as they pass by; a file that is anything else is no inference.

    The id of the first answer stands for all of them, so that a file that is downloaded again counts once.
    """

    def __init__(self, read: Callable[[object, str], Usage | None], path: tuple[str, str], match: Match) -> None:
        """Read usage with `read`, of the answer that is at `path` in a line."""
        self.first_token = False
        self.first_completion = False
        self._read = read
        self._path = path
        self._provider = match.provider
        self._foreign = False
        self._answers = 0
        self._usage: Usage | None = None
        self._id: str | None = None
        self._model: str | None = None

    def see(self, block: bytes) -> bool:
        """Add up the answers in `block`; there is no terminal event."""
        if self._foreign:
            return False
        for raw in each_event(block):
            line = loads(raw)
            if line is None and b'"custom_id"' in raw:
                self._add(carve(shorten(raw, _LINE_LIMIT)))
            elif line is not None and "custom_id" in line:
                outer, inner = self._path
                self._add(mapping(mapping(line.get(outer)).get(inner)))
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


def openai_results(match: Match, headers: Mapping[str, str]) -> BatchResults:
    """Return the reader of a batch's output file; any other file that is downloaded has no such lines."""
    return BatchResults(openai_usage.usage_from, ("response", "body"), match)


def anthropic_results(match: Match, headers: Mapping[str, str]) -> BatchResults:
    """Return the reader of a message batch's results."""
    return BatchResults(anthropic.usage_from, ("result", "message"), match)
