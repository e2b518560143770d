"""Replicate's predictions, of any model.

Answers: https://replicate.com/docs/reference/http#predictions.create
"""

from __future__ import annotations

from typing import Any

from .answer import Answer
from .family import without_usage
from .one_body import OneBody
from .rows import Row
from .usage import Usage
from .values import count, error_of, mapping, text
from .wiring import Format, Found, Target, Wire

__all__ = ["WIRE", "Replicate"]

_WAITING = frozenset({"starting", "processing"})


class Replicate(OneBody):
    """Read a prediction: its metrics are in it once it has ended, and count tokens where the model is one for text.

    It counts once, when the answer to its request or a poll shows it ended. Every later poll repeats it under its id,
    and Pay-i takes a report of the same id for a duplicate.
    """

    def whole(self, body: dict[str, Any]) -> Answer:
        """Return the facts of a prediction."""
        metrics, status = mapping(body.get("metrics")), text(body.get("status"))
        asked, answered = count(metrics.get("input_token_count")), count(metrics.get("output_token_count"))
        images = count(metrics.get("image_output_count"), metrics.get("image_count"))
        counted = not (asked is None and answered is None and images is None)
        code, message = error_of(body) if body.get("error") else (None, None)
        waiting = "prediction has not ended" if status in _WAITING else "provider sent no usage"
        return Answer(
            usage=Usage(
                input_tokens=asked, output_tokens=answered, counts={"image": {"output": images}} if images else {}
            )
            if counted
            else None,
            response_id=text(body.get("id")),
            model=text(body.get("model")) or text(body.get("version")),
            finish_reason=status,
            error_code=code or (status if message else None),
            error_message=message,
            notes={} if counted else without_usage(waiting),
            inference=status not in _WAITING,
        )


def _recognise(target: Target) -> Found | None:
    """Return the api of a call that makes a prediction: by its version, for a model, or for a deployment."""
    if not target.at("replicate"):
        return None
    owned = target.segments[-4] in ("models", "deployments") if len(target.segments) > 3 else False
    return Found("replicate.predictions", "/".join(target.segments[-3:-1]) if owned else None)


def _fetched(target: Target) -> Found | None:
    """Return the prediction that a GET picks up: `predictions/x`."""
    known = target.at("replicate") and target.before == "predictions"
    return Found("replicate.predictions.retrieve") if known else None


WIRE = Wire(
    name="replicate",
    category="replicate",
    words=frozenset({"predictions"}),
    parents=frozenset({"predictions"}),
    recognise=_recognise,
    fetched=_fetched,
    formats={
        "replicate.predictions": Format(Replicate, repeats=True),
        "replicate.predictions.retrieve": Format(Replicate, fetched=True, repeats=True),
    },
    rows=(
        Row(
            "replicate",
            "replicate",
            ("api.replicate.com",),
            "https://replicate.com/docs/reference/http",
            resource_from="response",  # the request names a version by its hash
        ),
    ),
)
