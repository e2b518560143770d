"""Gemini's embeddings: embedContent and batchEmbedContents.

Types: https://ai.google.dev/api/embeddings
"""

from __future__ import annotations

from typing import Any

from .answer import Answer
from .family import without_usage
from .gemini_usage import usage_from
from .one_body import OneBody
from .values import error_of

__all__ = ["GeminiEmbed"]


class GeminiEmbed(OneBody):
    """Read embeddings; models before `gemini-embedding-2` count nothing, and nothing is made up for them."""

    def whole(self, body: dict[str, Any]) -> Answer:
        """Return the facts of an embedding's body."""
        usage = usage_from(body.get("usageMetadata"))
        code, message = error_of(body) if body.get("error") else (None, None)
        return Answer(
            usage=usage,
            error_code=code,
            error_message=message,
            notes={} if usage else without_usage("provider sent no usage"),
        )
