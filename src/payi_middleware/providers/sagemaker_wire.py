"""Amazon SageMaker's endpoints, on which customers run models of their own.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .answer import Answer
from .family import without_usage
from .first_use import AtFirstUse, Making
from .match import Match
from .openai_wire import chat
from .rows import Row
from .values import carve, mapping
from .wire import GAP, each_event
from .wiring import Format, Found, Target, Wire

__all__ = ["WIRE", "SageMaker"]

_TAIL = 16_384
_WORDS = frozenset({"invocations", "invocations-response-stream"})


@AtFirstUse
def _text() -> Making:
    from .bedrock_text import BedrockText

    return BedrockText


class SageMaker:
    """Read what the served model says of its usage; most say nothing, as SageMaker bills by the hour.

    A stream is the model's bytes, cut anywhere: its usage is looked for at its end.
    """

    def __init__(self, match: Match, headers: Mapping[str, str]) -> None:
        self.first_token = False
        self.first_completion = False
        self._match = match
        self._headers = headers
        self._tail = bytearray()

    def see(self, block: bytes) -> bool:
        """Keep the end of what the model sent."""
        self.first_completion = self.first_token = True
        tail = self._tail
        for event in each_event(block):
            tail += event
        if len(tail) > 2 * _TAIL:
            del tail[:-_TAIL]
        return False

    def streamed(self) -> Answer:
        """Return the facts that can be found at the stream's end."""
        return self.whole(carve(bytes(self._tail[-_TAIL:]) + GAP))

    def whole(self, body: dict[str, Any]) -> Answer:
        """Return the facts of an answer in one body."""
        if "choices" in body or mapping(body.get("usage")):
            return chat(self._match, self._headers).whole(body)
        answer = _text(self._match, self._headers).whole(body)
        return answer if answer.usage else Answer(notes=without_usage("provider sent no usage"))


def _recognise(target: Target) -> Found | None:
    """Return what it is: a call of an endpoint of SageMaker with JSON, which its models for tables are rarely sent."""
    told = target.headers.get("content-type", "json").lower()
    if target.word not in _WORDS or not target.at("sagemaker") or "json" not in told:
        return None
    return Found("sagemaker.invoke", target.before) if target.segments[-3:-2] == ["endpoints"] else None


WIRE = Wire(
    name="sagemaker",
    category="aws.sagemaker",
    words=_WORDS,
    recognise=_recognise,
    formats={"sagemaker.invoke": Format(SageMaker, framing="objects")},
    rows=(
        Row(
            "sagemaker",
            "aws.sagemaker",
            ("runtime.sagemaker.*.amazonaws.com", "runtime-fips.sagemaker.*.amazonaws.com"),
            "https://docs.aws.amazon.com/general/latest/gr/sagemaker.html",
        ),
    ),
)
