"""Which requests speak Mistral's own wire formats: conversations and optical character recognition.

The rest of its API is OpenAI's. Paths: https://docs.mistral.ai/api
"""

from __future__ import annotations

from .first_use import AtFirstUse, Making
from .wiring import Format, Found, Target, Wire

__all__ = ["WIRE"]


@AtFirstUse
def _recognition() -> Making:
    from .mistral import MistralOCR

    return MistralOCR


@AtFirstUse
def _conversations() -> Making:
    from .mistral import MistralConversations

    return MistralConversations


def _recognise(target: Target) -> Found | None:
    if not target.at("mistral") and "mistral" not in target.headers.get("user-agent", ""):
        return None
    if target.word == "ocr":
        return Found("mistral.ocr")
    return Found("mistral.conversations") if "conversations" in target.segments[-3:] else None


WIRE = Wire(
    name="mistral",
    category="mistral",
    words=frozenset({"ocr", "conversations", "restart"}),
    recognise=_recognise,
    formats={"mistral.ocr": Format(_recognition), "mistral.conversations": Format(_conversations)},
    starts=("conv_",),
)
