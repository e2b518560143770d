"""Which requests speak OpenAI's wire formats.

Paths: https://platform.openai.com/docs/api-reference
"""

from __future__ import annotations

from .first_use import AtFirstUse, Making
from .wiring import Format, Found, Target, Wire

__all__ = ["WIRE", "chat"]

# A path through any of these holds data or jobs: `POST /v1/threads/x/messages` generates nothing.
_DATA = frozenset({"threads", "files", "batches", "moderations", "conversations", "forms", "surveys"})
_AFTER = {
    ("chat", "completions"): "openai.chat",
    # Compaction is billed like any response: https://platform.openai.com/docs/api-reference/responses/compact
    ("responses", "compact"): "openai.responses",
    ("images", "generations"): "openai.images",
    ("images", "edits"): "openai.images",
    ("images", "variations"): "openai.images",
    ("audio", "transcriptions"): "openai.audio.transcriptions",
    ("audio", "translations"): "openai.audio.transcriptions",
    ("audio", "speech"): "openai.audio.speech",
}
_ALONE = {
    "completions": "openai.completions",
    "embeddings": "openai.embeddings",
    "responses": "openai.responses",
    "rerank": "openai.rerank",
    "reranking": "openai.rerank",
}
# Whose paths say what only others' hosts leave open: (provider, segment before, last word).
_OWN = {
    ("snowflake", "inference", "complete"): "openai.chat",
    ("snowflake", "cortex", "complete"): "openai.chat",
    ("venice", "image", "generate"): "openai.images",
}
_OTHER_WORDS = frozenset({"chat", "invocations", "runs", "submit_tool_outputs", "content"})
_FORMS = frozenset({"openai.images", "openai.audio.transcriptions"})
# Words that any service may have in its paths: at an unknown host they come with one of the marks.
_COMMON = frozenset({"openai.images", "openai.audio.transcriptions", "openai.audio.speech", "openai.rerank"})
_MARKS = frozenset({"v1", "openai"})


def _recognise(target: Target) -> Found | None:
    if "threads" in target.segments:
        return _run(target)
    if not _DATA.isdisjoint(target.segments):
        return None
    if target.word == "invocations":
        return _endpoint(target)
    api = _api(target)
    if api in _COMMON and target.row is None and _MARKS.isdisjoint(target.segments):
        return None
    return None if api is None else Found(api, _model(target.segments), form=api in _FORMS)


def _api(target: Target) -> str | None:
    if target.segments == ["api", "embeddings"]:
        return None  # Ollama's own, which count nothing
    if target.word == "chat":
        return "openai.chat" if target.row is not None and target.row.plain_chat else None
    known = _AFTER.get((target.before, target.word)) or _ALONE.get(target.word)
    if known is None and target.row is not None:
        return _OWN.get((target.row.name, target.before, target.word))
    return known


def _endpoint(target: Target) -> Found | None:
    """Return the chat that a Databricks endpoint is asked for, which its path names instead of a model."""
    if target.at("databricks") and target.segments[-3:-2] == ["serving-endpoints"]:
        return Found("openai.chat", target.before)
    return None


def _run(target: Target) -> Found | None:
    """Return the run that a request begins (`threads/runs`, `threads/x/runs`) or goes on with, after tools have run."""
    if not _is_thread(target):
        return None
    before = target.segments[:-1]
    begins = target.word == "runs" and "threads" in before[-2:]
    goes_on = target.word == "submit_tool_outputs" and before[-2:-1] == ["runs"]
    return Found("openai.assistants.run") if begins or goes_on else None


def _is_thread(target: Target) -> bool:
    """Return whether the threads are OpenAI's: others, such as LangGraph's servers, have runs in threads, too."""
    following = target.segments[target.segments.index("threads") + 1]
    return target.row is not None or following.startswith("thread_") or following == "runs"


def _fetched(target: Target) -> Found | None:
    """Return the answer that a GET picks up: `responses/resp_x`, `threads/x/runs/run_x` or a file's content."""
    last = target.segments[-1]
    if target.before == "responses" and last.startswith("resp_"):
        return Found("openai.responses.retrieve")
    if target.before == "runs" and last.startswith("run_") and "threads" in target.segments[:-2]:
        return Found("openai.assistants.run.retrieve") if _is_thread(target) else None
    if target.word == "content" and target.segments[-3:-2] == ["files"]:
        known = target.row is not None or target.before.startswith("file-")
        return Found("openai.batch_results") if known else None
    return None


def _model(segments: list[str]) -> str | None:
    """Return the model that follows `deployments` (Azure) or `engines` (OpenAI's first API, LiteLLM)."""
    for name in ("deployments", "engines"):
        if name in segments[:-2]:
            return segments[segments.index(name) + 1]
    return None


@AtFirstUse
def chat() -> Making:
    """Import what reads chats, completions and embeddings."""
    from .openai_chat import OpenAIChat

    return OpenAIChat


@AtFirstUse
def _responses() -> Making:
    from .openai_responses import OpenAIResponses

    return OpenAIResponses


@AtFirstUse
def _media() -> Making:
    from .openai_media import OpenAIMedia

    return OpenAIMedia


@AtFirstUse
def _runs() -> Making:
    from .openai_runs import OpenAIRuns

    return OpenAIRuns


@AtFirstUse
def _results() -> Making:
    from .batch_results import openai_results

    return openai_results


WIRE = Wire(
    name="openai",
    category="system.openai",
    words=frozenset(
        {word for _, word in _AFTER} | {word for *_, word in _OWN} | _ALONE.keys() | _OTHER_WORDS,
    ),
    recognise=_recognise,
    formats={
        "openai.chat": Format(chat),
        "openai.completions": Format(chat),
        "openai.embeddings": Format(chat),
        "openai.rerank": Format(chat, repeats=True),
        "openai.responses": Format(_responses, repeats=True),
        "openai.responses.retrieve": Format(_responses, fetched=True, repeats=True),
        "openai.images": Format(_media, repeats=True),
        "openai.audio.transcriptions": Format(_media),
        "openai.audio.speech": Format(_media),
        "openai.assistants.run": Format(_runs, repeats=True),
        "openai.assistants.run.retrieve": Format(_runs, fetched=True, repeats=True),
        "openai.batch_results": Format(_results, framing="lines", fetched=True),
    },
    starts=("resp_", "run_"),
    fetched=_fetched,
)
