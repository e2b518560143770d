"""Aleph Alpha's completions.

Answers: https://docs.aleph-alpha.com/api/complete/
"""

from __future__ import annotations

from typing import Any

from .answer import Answer
from .family import without_usage
from .one_body import OneBody
from .rows import Row
from .usage import Usage
from .values import count, rows, text
from .wiring import Format, Found, Target, Wire

__all__ = ["WIRE", "AlephAlpha"]


class AlephAlpha(OneBody):
    """Read completions."""

    def whole(self, body: dict[str, Any]) -> Answer:
        """Return the facts of an answer in one body."""
        asked, answered = count(body.get("num_tokens_prompt_total")), count(body.get("num_tokens_generated"))
        counted = not (asked is None and answered is None)
        completions = rows(body.get("completions"))
        return Answer(
            usage=Usage(input_tokens=asked, output_tokens=answered) if counted else None,
            model=text(body.get("model_version")),
            finish_reason=next((found for one in completions if (found := text(one.get("finish_reason")))), None),
            notes={} if counted else without_usage("provider sent no usage"),
        )


def _recognise(target: Target) -> Found | None:
    return Found("alephalpha.complete") if target.at("alephalpha") else None


WIRE = Wire(
    name="alephalpha",
    category="alephalpha",
    words=frozenset({"complete"}),
    recognise=_recognise,
    formats={"alephalpha.complete": Format(AlephAlpha)},
    rows=(Row("alephalpha", "alephalpha", ("api.aleph-alpha.com",), "https://docs.aleph-alpha.com/api/"),),
)
