"""Predictions of Google's models: embeddings, images, videos.

Types: https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api and
https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/imagen-api
"""

from __future__ import annotations

from typing import Any

from .answer import Answer
from .family import without_usage
from .one_body import OneBody
from .usage import Usage
from .values import count, error_of, mapping, rows

__all__ = ["VertexPredict"]


class VertexPredict(OneBody):
    """Read predictions: the tokens of embedded texts, else their billable characters, else the images that came.

    A video is made by a job, which is answered before there is anything to count.
    """

    def whole(self, body: dict[str, Any]) -> Answer:
        """Return the facts of a prediction's body."""
        predictions = rows(body.get("predictions"))
        usage = _tokens(predictions) or _characters(body) or _images(predictions)
        code, message = error_of(body) if body.get("error") else (None, None)
        missing = "a job was started" if not predictions and body.get("name") else "provider sent no usage"
        return Answer(
            usage=usage,
            error_code=code,
            error_message=message,
            notes={} if usage else without_usage(missing),
        )


def _tokens(predictions: list[dict[str, Any]]) -> Usage | None:
    statistics = [mapping(mapping(row.get("embeddings")).get("statistics")) for row in predictions]
    told = [tokens for row in statistics if (tokens := count(row.get("token_count"))) is not None]
    return Usage(input_tokens=sum(told)) if told else None


def _characters(body: dict[str, Any]) -> Usage | None:
    billable = count(mapping(body.get("metadata")).get("billableCharacterCount"))
    return None if billable is None else Usage(counts={"character": {"input": billable}})


def _images(predictions: list[dict[str, Any]]) -> Usage | None:
    """Return how many images came: those that a safety filter held back come without bytes or a place."""
    images = [row for row in predictions if row.get("bytesBase64Encoded") or row.get("gcsUri")]
    return Usage(counts={"image": {"output": len(images)}}) if images else None
