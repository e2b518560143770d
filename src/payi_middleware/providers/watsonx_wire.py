"""Which requests speak the wire formats of IBM watsonx.ai: text generation, chat, embeddings and reranking.

Paths: https://cloud.ibm.com/apidocs/watsonx-ai
"""

from __future__ import annotations

from .first_use import AtFirstUse, Making
from .openai_wire import chat
from .rows import Row
from .wiring import Format, Found, Target, Wire

__all__ = ["WIRE"]

_APIS = {
    "generation": "watsonx.generate",
    "generation_stream": "watsonx.generate",
    "text": "watsonx.generate",  # .../generation/text, the path of the beta
    "text_stream": "watsonx.generate",
    "chat": "watsonx.chat",
    "chat_stream": "watsonx.chat",
    "embeddings": "watsonx.embeddings",
    "rerank": "watsonx.rerank",
}


@AtFirstUse
def _watsonx() -> Making:
    from .watsonx import Watsonx

    return Watsonx


def _recognise(target: Target) -> Found | None:
    segments = target.segments
    if segments[0] != "ml" or len(segments) < 4 or not {"text", "generation"}.intersection(segments[2:]):
        return None
    if target.word in ("text", "text_stream") and target.before != "generation":
        return None
    model = segments[3] if segments[2] == "deployments" else None
    return Found(_APIS[target.word], model)


WIRE = Wire(
    name="watsonx",
    category="watsonx",
    words=frozenset(_APIS),
    recognise=_recognise,
    formats={
        "watsonx.generate": Format(_watsonx),
        "watsonx.chat": Format(chat),
        "watsonx.embeddings": Format(_watsonx),
        "watsonx.rerank": Format(_watsonx, repeats=True),
    },
    rows=(
        Row(
            "watsonx",
            "watsonx",
            ("*.ml.cloud.ibm.com", "*.aws.wxai.ibm.com"),
            "https://cloud.ibm.com/apidocs/watsonx-ai",
        ),
    ),
)
