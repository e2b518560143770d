"""Which requests speak Google's wire formats, or another publisher's through Vertex AI.

Paths: https://ai.google.dev/api and https://cloud.google.com/vertex-ai/generative-ai/docs/reference/rest
"""

from __future__ import annotations

from .first_use import AtFirstUse, Making
from .wiring import Format, Found, Target, Wire

__all__ = ["WIRE"]

_GEMINI = {
    "generateContent": "gemini.generate",
    "streamGenerateContent": "gemini.stream_generate",
    "embedContent": "gemini.embed",
    "batchEmbedContents": "gemini.embed",
}
_PREDICT = frozenset({"predict", "predictLongRunning"})
_RAW = frozenset({"rawPredict", "streamRawPredict"})
# What other publishers' models speak there: https://cloud.google.com/vertex-ai/generative-ai/docs/partner-models/use-partner-models
_PUBLISHERS = {"anthropic": "anthropic.messages", "mistralai": "openai.chat", "ai21": "openai.chat"}
_RECOGNISING = "mistral-ocr"  # https://cloud.google.com/vertex-ai/generative-ai/docs/partner-models/mistral
# A tuned model has a number for a name, so that the one that answers is told instead.
_NAMED = frozenset({"models", "dynamic"})
_STATEFUL = "interactions"
_NO_MODEL = "count-tokens"  # https://docs.anthropic.com/en/api/claude-on-vertex-ai


def _recognise(target: Target) -> Found | None:
    if target.word == _STATEFUL:
        known = target.at("google") or "x-goog-api-key" in target.headers
        return Found("gemini.interactions", publisher="google") if known else None
    model, method, _ = target.segments[-1].rpartition(":")
    if not method:
        return None
    publisher = _publisher(target.segments)
    if target.word in _GEMINI:
        return Found(_GEMINI[target.word], model if target.before in _NAMED else None, publisher=publisher or "google")
    if target.before != "models":
        return None  # an endpoint of the customer's own, which may predict anything
    if target.word in _PREDICT:
        ours = publisher == "google" or (publisher is None and target.at("google"))
        return Found("vertex.predict", model, publisher="google") if ours else None
    api = "mistral.ocr" if model.startswith(_RECOGNISING) else _PUBLISHERS.get(publisher or "")
    return None if api is None or model == _NO_MODEL else Found(api, model, publisher=publisher)


def _fetched(target: Target) -> Found | None:
    """Return the interaction that a GET picks up: `interactions/x`, on agents' platforms with `:poll`."""
    known = target.at("google") or "x-goog-api-key" in target.headers
    return Found("gemini.interactions.retrieve", publisher="google") if known and target.before == _STATEFUL else None


def _publisher(segments: list[str]) -> str | None:
    return segments[-3] if len(segments) > 3 and segments[-4] == "publishers" else None


@AtFirstUse
def _generate() -> Making:
    from .gemini import Gemini

    return Gemini


@AtFirstUse
def _embed() -> Making:
    from .gemini_embed import GeminiEmbed

    return GeminiEmbed


@AtFirstUse
def _interactions() -> Making:
    from .gemini_interactions import GeminiInteractions

    return GeminiInteractions


@AtFirstUse
def _predict() -> Making:
    from .vertex_predict import VertexPredict

    return VertexPredict


WIRE = Wire(
    name="google",
    category="system.google.vertex",
    words=frozenset({_STATEFUL, *_GEMINI, *_PREDICT, *_RAW}),
    parents=frozenset({_STATEFUL}),
    recognise=_recognise,
    fetched=_fetched,
    formats={
        "gemini.generate": Format(_generate),
        "gemini.stream_generate": Format(_generate, "objects"),
        "gemini.embed": Format(_embed),
        "gemini.interactions": Format(_interactions),
        "gemini.interactions.retrieve": Format(_interactions, fetched=True, repeats=True),
        "vertex.predict": Format(_predict),
    },
)
