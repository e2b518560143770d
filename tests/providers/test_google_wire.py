"""Which requests are Google's inferences, and what Pay-i's resource for them is called."""

from __future__ import annotations

import pytest

from payi_middleware.providers import maybe_inference, read_request, recognise
from tests.providers.wires import JSON, matched

STUDIO = "https://generativelanguage.googleapis.com/v1beta"
REGION = "https://us-central1-aiplatform.googleapis.com/v1/projects/p/locations/us-central1"
GLOBAL = "https://aiplatform.googleapis.com/v1beta1/projects/p/locations/global"
MULTI = "https://aiplatform.eu.rep.googleapis.com/v1/projects/p/locations/eu"
CLAUDE = "publishers/anthropic/models/claude-sonnet-4-5@20250929"


@pytest.mark.parametrize(
    ("url", "api", "resource"),
    [
        (f"{STUDIO}/models/gemini-2.5-flash:generateContent", "gemini.generate", "google.gemini-2.5-flash"),
        (
            f"{STUDIO}/models/gemini-2.5-flash:streamGenerateContent",
            "gemini.stream_generate",
            "google.gemini-2.5-flash",
        ),
        (f"{STUDIO}/models/gemini-2.5-flash%3AgenerateContent", None, None),
        (f"{STUDIO}/models/gemini-embedding-001:embedContent", "gemini.embed", "google.gemini-embedding-001"),
        (f"{STUDIO}/models/gemini-embedding-001:batchEmbedContents", "gemini.embed", "google.gemini-embedding-001"),
        (f"{STUDIO}/models/imagen-4.0-generate-001:predict", "vertex.predict", "google.imagen-4.0-generate-001"),
        (f"{STUDIO}/models/veo-3:predictLongRunning", "vertex.predict", "google.veo-3"),
        (
            f"{REGION}/publishers/google/models/gemini-2.5-pro:generateContent",
            "gemini.generate",
            "google.gemini-2.5-pro",
        ),
        (f"{GLOBAL}/publishers/google/models/g:streamGenerateContent", "gemini.stream_generate", "google.g"),
        (f"{MULTI}/publishers/google/models/g:generateContent", "gemini.generate", "google.g"),
        (
            f"{REGION}/publishers/google/models/text-embedding-005:predict",
            "vertex.predict",
            "google.text-embedding-005",
        ),
        (f"{REGION}/{CLAUDE}:rawPredict", "anthropic.messages", "anthropic.claude-sonnet-4-5@20250929"),
        (f"{GLOBAL}/{CLAUDE}:streamRawPredict", "anthropic.messages", "anthropic.claude-sonnet-4-5@20250929"),
        (f"{REGION}/publishers/mistralai/models/mistral-small:rawPredict", "openai.chat", "mistralai.mistral-small"),
        (
            f"{REGION}/publishers/mistralai/models/mistral-ocr-2505:rawPredict",
            "mistral.ocr",
            "mistralai.mistral-ocr-2505",
        ),
        (f"{REGION}/publishers/ai21/models/jamba-1.5-mini:rawPredict", "openai.chat", "ai21.jamba-1.5-mini"),
        ("http://localhost:4000/gemini/v1beta/models/g:generateContent", "gemini.generate", "google.g"),
        (
            "http://localhost:4000/v1/publishers/google/models/g:streamGenerateContent",
            "gemini.stream_generate",
            "google.g",
        ),
        (f"{STUDIO}/models/g:countTokens", None, None),
        (f"{STUDIO}/models/g:batchGenerateContent", None, None),
        (f"{STUDIO}/models/g:asyncBatchEmbedContent", None, None),
        (f"{STUDIO}/cachedContents", None, None),
        (f"{STUDIO}/files", None, None),
        (f"{STUDIO}/interactions/v1_x/cancel", None, None),
        (f"{REGION}/publishers/google/models/g:computeTokens", None, None),
        (f"{REGION}/publishers/google/models/veo-3:fetchPredictOperation", None, None),
        (f"{REGION}/publishers/anthropic/models/count-tokens:rawPredict", None, None),
        (f"{REGION}/publishers/meta/models/llama:rawPredict", None, None),
        (f"{REGION}/endpoints/123:predict", None, None),
        (f"{REGION}/endpoints/123:rawPredict", None, None),
        ("http://localhost:8501/v1/models/iris:predict", None, None),  # TensorFlow Serving
        ("https://discord.com/api/v9/interactions", None, None),
        (f"{STUDIO}/generateContent", None, None),
    ],
)
def test_googles_paths(url: str, api: str | None, resource: str | None) -> None:
    match = matched(url)
    assert (match.api if match else None) == api
    if match is not None:
        assert maybe_inference(url.partition("//")[2].encode())
        assert match.category == "system.google.vertex"
        assert match.resource(match.model_from_path or "") == resource


def test_a_tuned_models_endpoint_is_named_by_the_model_that_answers() -> None:
    match = matched(f"{REGION}/endpoints/123:generateContent")
    assert match is not None
    assert (match.api, match.model_from_path) == ("gemini.generate", None)


def test_interactions_are_known_by_their_host_or_their_key() -> None:
    at_home = matched(f"{STUDIO}/interactions")
    elsewhere = matched("http://localhost:1/v1beta/interactions", {**JSON, "x-goog-api-key": "k"})
    for match in (at_home, elsewhere):
        assert match is not None
        assert (match.api, match.resource("gemini-2.5-flash")) == ("gemini.interactions", "google.gemini-2.5-flash")


def test_polls_are_nothing() -> None:
    assert matched(f"{STUDIO}/batches/abc", method="GET") is None
    assert matched(f"{STUDIO}/interactions", method="GET") is None
    assert matched(f"{STUDIO}/models/g:generateContent", method="GET") is None


def test_openais_doors_name_googles_resources() -> None:
    for url, model, resource in (
        (f"{STUDIO}/openai/chat/completions", "gemini-2.5-flash", "google.gemini-2.5-flash"),
        (f"{STUDIO}/openai/chat/completions", "models/gemini-2.5-flash", "google.gemini-2.5-flash"),
        (f"{REGION}/endpoints/openapi/chat/completions", "google/gemini-2.5-flash", "google.gemini-2.5-flash"),
        (f"{REGION}/endpoints/openapi/chat/completions", "meta/llama-4-maas", "meta.llama-4-maas"),
        ("https://api.openai.com/v1/chat/completions", "ft:gpt/x", "ft:gpt/x"),
    ):
        match = matched(url)
        assert match is not None
        assert match.resource(model) == resource


def test_a_host_that_the_settings_name_speaks_gemini_too() -> None:
    custom = {"10.0.0.7:8080": ("google", None), "10.0.0.8": ("google", "my.gemini")}
    path = "/v1beta/models/g:generateContent"
    match = recognise("POST", "10.0.0.7", 8080, path, JSON, custom)
    assert match is not None
    assert (match.category, match.resource("g")) == ("system.google.vertex", "google.g")
    own = recognise("POST", "10.0.0.8", 80, path, JSON, custom)
    assert own is not None
    assert (own.category, own.resource("g")) == ("my.gemini", "g")


def test_the_paths_model_is_the_one_asked_for() -> None:
    match = matched(f"{STUDIO}/models/gemini-2.5-flash:streamGenerateContent")
    assert match is not None
    for body in (b"{}", None, b'{"model": "models/other"}', b"\0"):
        asked = read_request(match, body)
        assert (asked.model, asked.stream) == ("gemini-2.5-flash", True)


def test_an_interaction_asks_for_a_model_or_an_agent() -> None:
    match = matched(f"{STUDIO}/interactions")
    assert match is not None
    assert read_request(match, b'{"model": "gemini-2.5-flash", "stream": true}').model == "gemini-2.5-flash"
    assert read_request(match, b'{"agent": "deep-research", "background": true}').model == "deep-research"
