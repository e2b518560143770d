"""Voyage's embeddings and rerankings, whose usage is OpenAI's.

Answers: https://docs.voyageai.com/reference/embeddings-api and https://docs.voyageai.com/reference/reranker-api
"""

from __future__ import annotations

from .openai_wire import chat
from .wiring import Format, Found, Target, Wire

__all__ = ["WIRE"]

_APIS = {
    "embeddings": "voyage.embeddings",
    "contextualizedembeddings": "voyage.embeddings",
    "multimodalembeddings": "voyage.embeddings",
    "rerank": "voyage.rerank",
}


def _recognise(target: Target) -> Found | None:
    return Found(_APIS[target.word]) if target.at("voyage") else None


WIRE = Wire(
    name="voyage",
    category="voyage",
    words=frozenset(_APIS),
    recognise=_recognise,
    formats={"voyage.embeddings": Format(chat), "voyage.rerank": Format(chat, repeats=True)},
)
