"""OpenAI images, transcriptions, translations and speech.

Images: https://platform.openai.com/docs/api-reference/images
Audio: https://platform.openai.com/docs/api-reference/audio
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .answer import Answer
from .family import without_usage
from .match import Match
from .openai_usage import usage_from
from .usage import Usage
from .values import carve, count, error_of, loads, mapping, rows, text
from .wire import each_event, shorten

__all__ = ["OpenAIMedia"]

_EVENT_LIMIT = 16_384
_MOST_SECONDS = 10**9
IMAGES = "system.images"
_PICTURED, _HEARD, _SPOKEN = "openai.images", "openai.audio.transcriptions", "openai.audio.speech"


class OpenAIMedia:
    """Read what is told of images and audio: tokens by modality, or seconds, or nothing at all.

    What is not told is left unknown: neither is speech measured nor are images priced by their size here.
    """

    def __init__(self, match: Match, headers: Mapping[str, str]) -> None:
        self.first_token = False
        self.first_completion = False
        self._provider = match.provider
        self._api = match.api
        self._told: bytes | None = None
        self._error: bytes | None = None
        self._done = False

    def see(self, block: bytes) -> bool:
        """Keep the event that has the usage; True at the last event or an error event."""
        if not self.first_completion and (b".delta" in block or b"partial_image" in block):
            self.first_token = self.first_completion = True
        if b'"usage"' not in block and b'"error"' not in block and b"[DONE]" not in block:
            return False
        ended = False
        for event in each_event(block):
            ended |= self._keep(event)
        return ended

    def _keep(self, event: bytes) -> bool:
        if event.strip() == b"[DONE]":
            self._done = True
        elif b'"error"' in event and self._error is None and (loads(event) or {}).get("error"):
            self._error = shorten(event, _EVENT_LIMIT)
            return True
        elif b'"usage"' in event and _event(event).get("usage"):
            self._told = shorten(event, _EVENT_LIMIT)
            # What follows, if anything, is [DONE]; of several images each has an event with its own usage.
            self._done = True
        return self._done

    def streamed(self) -> Answer:
        """Return the facts of the event kept."""
        answer = self.whole({**_event(self._told), **_event(self._error)})
        if answer.usage is not None:
            return answer
        if self._error is not None:
            reason = "error inside the stream"
        else:
            reason = "provider sent no usage" if self._done else "stream ended before usage"
        return Answer(error_code=answer.error_code, error_message=answer.error_message, notes=without_usage(reason))

    def whole(self, body: dict[str, Any]) -> Answer:
        """Return the facts of an answer in one body; without usage, the number of images is noted."""
        usage = _usage(body.get("usage"), self._provider, self._api)
        images = len(rows(body.get("data")))
        code, message = error_of(body) if body.get("error") else (None, None)
        missing = without_usage("provider sent no usage") | ({IMAGES: str(images)} if images else {})
        return Answer(
            usage=usage,
            response_id=text(body.get("id")),
            model=text(body.get("model")),
            error_code=code,
            error_message=message,
            notes={} if usage else missing,
        )


def _event(event: bytes | None) -> dict[str, Any]:
    if event is None:
        return {}
    return loads(event) or carve(event)


def _usage(raw: object, provider: str, api: str) -> Usage | None:
    """Return the tokens, and the seconds of audio that hearing is billed by, rounded up as they are there.

    Output that is not told apart is of what is made: pictures or speech. Mistral tells the seconds beside the tokens.
    """
    told = mapping(raw)
    seconds = told.get("seconds")
    if isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 <= seconds <= _MOST_SECONDS:
        return Usage(counts={"audio_seconds": {"input": math.ceil(seconds)}})
    usage = usage_from(raw, provider)
    if usage is None:
        return None
    if api == _HEARD and (heard := count(told.get("prompt_audio_seconds"))):
        return replace(usage, counts={"audio_seconds": {"input": heard}})
    if not mapping(told.get("output_tokens_details")):
        if api == _PICTURED:
            return replace(usage, image_output=usage.output_tokens)
        if api == _SPOKEN:
            return replace(usage, audio_output=usage.output_tokens)
    return usage
