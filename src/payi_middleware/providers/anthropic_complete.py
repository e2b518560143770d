"""Anthropic's text completions, which tell no usage: https://docs.anthropic.com/en/api/complete"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .answer import Answer
from .family import without_usage
from .match import Match
from .values import error_of, loads, text
from .wire import each_event, shorten

__all__ = ["AnthropicComplete"]

_KEPT = 4_096
_TEXT = re.compile(rb'"completion"\s*:\s*"[^"]')
_STOPPED = re.compile(rb'"stop_reason"\s*:\s*"')
_ERROR = re.compile(rb'"type"\s*:\s*"error"')


class AnthropicComplete:
    """Read completions: who answered and why it stopped."""

    def __init__(self, match: Match, headers: Mapping[str, str]) -> None:
        self.first_token = False
        self.first_completion = False
        self._last: bytes | None = None
        self._ended = False

    def see(self, block: bytes) -> bool:
        """Keep the first event in case it is the only one, and the one that ends the stream; True at the latter."""
        if not self.first_completion and _TEXT.search(block):
            self.first_token = self.first_completion = True
        if self._last is None or _STOPPED.search(block) or _ERROR.search(block):
            for event in each_event(block):
                if self._last is None or _STOPPED.search(event) or _ERROR.search(event):
                    self._last = shorten(event, _KEPT)
                    self._ended |= bool(_STOPPED.search(event) or _ERROR.search(event))
        return self._ended

    def streamed(self) -> Answer:
        """Return what the events seen so far say."""
        return self.whole(loads(self._last or b"") or {})

    def whole(self, body: dict[str, Any]) -> Answer:
        """Return what an answer in one JSON body says."""
        code, message = error_of(body) if "error" in body else (None, None)
        return Answer(
            response_id=text(body.get("id")),
            model=text(body.get("model")),
            finish_reason=text(body.get("stop_reason")),
            error_code=code,
            error_message=message,
            notes=without_usage("text completions tell no usage"),
        )
