"""What the table of providers says of each api besides what the registry knows: an example, its units, its silences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Answers = Literal["plain", "streamed", "plain, streamed", "file"]


@dataclass(frozen=True)
class Told:
    """Describe one api.

    `path` is an example that must be recognised, with the `headers` that must come with it. `units` are the Pay-i units
    that its answers can lead to. `silent` is what the provider does not tell or what is read otherwise than expected.
    """

    path: str
    answers: Answers
    units: tuple[str, ...]
    silent: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


_TEXT = ("text",)
_CACHE = ("text_cache_read", "text_cache_write", "text_cache_write_1h")
_AUDIO = ("audio", "audio_cache_read")
_IMAGE = ("vision", "vision_cache_read", "image")
_SEARCH = ("web_search_request",)
_TEXTS = (*_TEXT, *_CACHE, "reasoning")
_CHAT = (*_TEXTS, *_AUDIO, *_IMAGE, "video", *_SEARCH)
_CLAUDE = (*_TEXT, *_CACHE, *_SEARCH)
_GEMINI = (*_TEXT, "text_cache_read", "reasoning", *_AUDIO, *_IMAGE, "video", "video_cache_read")
_GUARDRAIL = (
    "guardrail_topic",
    "guardrail_content",
    "guardrail_content_image",
    "guardrail_word_free",
    "guardrail_sensitive_information",
    "guardrail_sensitive_information_free",
    "guardrail_contextual_grounding",
    "guardrail_automated_reasoning",
)
_BEDROCK = (*_TEXT, *_CACHE, *_GUARDRAIL)
GROUPS: Mapping[str, tuple[str, ...]] = {"chat": _CHAT, "guardrails": _GUARDRAIL}
"""Units that are named together."""
_HOSTED = "fees of the provider's own tools are not in the usage, searches at Perplexity and xAI excepted"
_THINKING = "thinking is `text`: it is priced as such; from 200,000 tokens on, units end in `_large_context`"
_LARGE = "large prompts' units end in `_large_context`; fees for grounding are not told"
_INVOKED = "models that count nothing are counted by Bedrock's headers or the metrics at a stream's end"
_BILLED_WHERE = "`invocations` count where the model does: SageMaker bills by the hour"
_BATCH = "one report with the sums of the file; downloaded again, it is not counted again"
_BILLED = "what is billed is counted: it is all that Cohere tells"
_EMBEDDED = f"{_BILLED}; images are tokens (`vision`) or pieces (`image`)"
_TOKENS = (
    "counted is [what Cohere bills](https://docs.cohere.com/docs/how-does-cohere-pricing-work), which leaves out what "
    "it adds to a prompt itself; the property `system.usage.tokens` has what the model saw and wrote where that differs"
)
_PICKED_UP = "the poll that shows its end; later ones are duplicates"
_CONVERSE = "a stream that is left early tells nothing: its usage is the last event"

_MODEL = "/model/eu.amazon.nova-lite-v1%3A0"
_VERTEX = "/v1/projects/p/locations/global/publishers/google/models/m"
_GEMINI_MODEL = "/v1beta/models/gemini-2.5-flash"
_OPENAI: dict[str, Told] = {
    "openai.chat": Told(
        "/v1/chat/completions", "plain, streamed", _CHAT, f"most streams tell it only if asked (see above); {_HOSTED}"
    ),
    "openai.completions": Told("/v1/completions", "plain, streamed", _TEXTS, "streams as with chat"),
    "openai.responses": Told(
        "/v1/responses", "plain, streamed", _CHAT, f"in the background, counted when it is picked up; {_HOSTED}"
    ),
    "openai.responses.retrieve": Told(
        "/v1/responses/resp_1", "plain, streamed", _CHAT, "counts for answers made in the background only, and once"
    ),
    "openai.embeddings": Told("/v1/embeddings", "plain", (*_TEXT, "vision")),
    "openai.rerank": Told("/v1/rerank", "plain", (*_TEXT, "search_unit"), "most hosts tell no usage"),
    "openai.images": Told(
        "/v1/images/generations",
        "plain, streamed",
        (*_TEXT, "text_cache_read", *_IMAGE),
        "older models tell none: the number of images is a property then",
    ),
    "openai.audio.transcriptions": Told(
        "/v1/audio/transcriptions",
        "plain, streamed",
        (*_TEXT, "audio", "audio_seconds"),
        "answers as text or subtitles tell none",
    ),
    "openai.audio.speech": Told(
        "/v1/audio/speech", "plain, streamed", (*_TEXT, "audio"), "an answer that is the audio itself tells none"
    ),
    "openai.assistants.run": Told(
        "/v1/threads/thread_1/runs", "plain, streamed", _TEXTS, "counts once, when a stream or a poll shows its end"
    ),
    "openai.assistants.run.retrieve": Told(
        "/v1/threads/thread_1/runs/run_1", "plain", _TEXTS, "the poll that shows a run's end; later ones are duplicates"
    ),
    "openai.batch_results": Told("/v1/files/file-1/content", "file", _CHAT, _BATCH),
}
_ANTHROPIC: dict[str, Told] = {
    "anthropic.messages": Told(
        "/v1/messages", "plain, streamed", _CLAUDE, _THINKING, {"anthropic-version": "2023-06-01"}
    ),
    "anthropic.complete": Told(
        "/v1/complete", "plain, streamed", (), "tells none", {"anthropic-version": "2023-06-01"}
    ),
    "anthropic.batch_results": Told("/v1/messages/batches/msgbatch_1/results", "file", _CLAUDE, _BATCH),
}
_AMAZON: dict[str, Told] = {
    "bedrock.converse": Told(
        f"{_MODEL}/converse", "plain", _BEDROCK, "guardrails count where the call asks for a trace"
    ),
    "bedrock.converse_stream": Told(f"{_MODEL}/converse-stream", "streamed", _BEDROCK, _CONVERSE),
    "bedrock.invoke": Told(
        f"{_MODEL}/invoke",
        "plain",
        (*_TEXTS, "image", *_GUARDRAIL, "search_unit"),
        _INVOKED,
    ),
    "bedrock.invoke_stream": Told(
        f"{_MODEL}/invoke-with-response-stream", "streamed", (*_TEXTS, *_GUARDRAIL), _INVOKED
    ),
    "sagemaker.invoke": Told("/endpoints/e/invocations", "plain, streamed", _TEXTS, _BILLED_WHERE),
}
_GOOGLE: dict[str, Told] = {
    "gemini.generate": Told(f"{_GEMINI_MODEL}:generateContent", "plain", _GEMINI, _LARGE),
    "gemini.stream_generate": Told(f"{_GEMINI_MODEL}:streamGenerateContent", "streamed", _GEMINI, _LARGE),
    "gemini.interactions": Told(
        "/v1beta/interactions",
        "plain, streamed",
        _GEMINI,
        f"{_LARGE}; in the background, counted when it is picked up",
    ),
    "gemini.interactions.retrieve": Told("/v1beta/interactions/v1_1", "plain, streamed", _GEMINI, _PICKED_UP),
    "gemini.embed": Told(
        f"{_GEMINI_MODEL}:embedContent",
        "plain",
        (*_TEXT, "audio", "vision", "video"),
        "models before `gemini-embedding-2` tell none",
    ),
    "vertex.predict": Told(
        f"{_VERTEX}:predict",
        "plain",
        (*_TEXT, "character", "image"),
        "a video is made by a job, whose start tells nothing",
    ),
}
_COHERE: dict[str, Told] = {
    f"cohere.{version}.{api}": told
    for version in ("v1", "v2")
    for api, told in {
        "chat": Told(
            f"/{version}/chat", "plain, streamed", (*_TEXT, "text_cache_read", "vision", "search_unit"), _TOKENS
        ),
        "generate": Told(f"/{version}/generate", "plain, streamed", _TEXT, _BILLED),
        "embed": Told(f"/{version}/embed", "plain", (*_TEXT, "vision", "image"), _EMBEDDED),
        "rerank": Told(f"/{version}/rerank", "plain", (*_TEXT, "search_unit"), _BILLED),
    }.items()
}
_OLLAMA_ONE = (*_TEXT, "text_cache_read")
_OTHERS: dict[str, Told] = {
    "alephalpha.complete": Told("/complete", "plain", _TEXT),
    "deepgram.listen": Told(
        "/v1/listen", "plain", ("audio_seconds",), "live transcription (WebSockets) is not metered"
    ),
    "deepgram.speak": Told("/v1/speak", "plain", ("character",)),
    "huggingface.generate": Told(
        "/generate",
        "plain, streamed",
        _TEXT,
        "at the root of `*.endpoints.huggingface.cloud`, too; a stream may tell its output only",
    ),
    "mistral.conversations": Told(
        "/v1/conversations", "plain, streamed", (*_TEXT, *_SEARCH), "other connectors are units of their own names"
    ),
    "mistral.ocr": Told("/v1/ocr", "plain", ("page",)),
    "ollama.chat": Told("/api/chat", "plain, streamed", _OLLAMA_ONE, "on port 11434 of any host, too"),
    "ollama.generate": Told("/api/generate", "plain, streamed", _OLLAMA_ONE, "on port 11434 of any host, too"),
    "ollama.embed": Told("/api/embed", "plain", _OLLAMA_ONE, "on port 11434 of any host, too"),
    "ollama.embeddings": Told("/api/embeddings", "plain", (), "tells none"),
    "replicate.predictions": Told(
        "/v1/models/meta/llama/predictions",
        "plain",
        (*_TEXT, "image"),
        "one that has not ended when it is answered is counted when it is picked up; time on a machine is no unit",
    ),
    "replicate.predictions.retrieve": Told("/v1/predictions/p1", "plain", (*_TEXT, "image"), _PICKED_UP),
    "voyage.embeddings": Told("/v1/embeddings", "plain", (*_TEXT, "vision")),
    "voyage.rerank": Told("/v1/rerank", "plain", _TEXT),
    "watsonx.generate": Told("/ml/v1/text/generation", "plain, streamed", _TEXT),
    "watsonx.chat": Told("/ml/v1/text/chat", "plain, streamed", _TEXTS),
    "watsonx.embeddings": Told("/ml/v1/text/embeddings", "plain", _TEXT),
    "watsonx.rerank": Told("/ml/v1/text/rerank", "plain", _TEXT),
}
TOLD: Mapping[str, Told] = {**_OPENAI, **_ANTHROPIC, **_AMAZON, **_GOOGLE, **_COHERE, **_OTHERS}
"""By api."""
