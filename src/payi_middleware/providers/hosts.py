"""Which provider, which wire format: decided by method, host, path and a header."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from .rows import ROWS, Row

__all__ = ["Match", "maybe_inference", "recognise"]

_LAST = frozenset({b"completions", b"responses", b"embeddings", b"messages", b"chat", b"compact"})
_OPENAI_APIS = {"responses": "openai.responses", "embeddings": "openai.embeddings"}
# A path through any of these holds data or jobs, or is Pay-i's own: `POST /v1/threads/x/messages` generates nothing.
_NOT_INFERENCE = frozenset(
    {"threads", "files", "batches", "moderations", "conversations", "forms", "surveys", "ingest"}
)
_PAYI_PATHS = (["api", "v1", "ingest"], ["api", "v1", "proxy"])
_UNKNOWN = {
    "openai": Row("unknown", "system.openai", (), ""),
    "anthropic": Row("unknown", "system.anthropic", (), ""),
}


@dataclass(frozen=True, slots=True)
class Match:
    """Name what a request is: the wire format `api`, Pay-i's `category`, and the `provider` (a row's name).

    `resource_from` is "request" or "response": which of the two models names Pay-i's resource. `model_from_path` is the
    deployment or engine that the path names.
    """

    api: str
    category: str
    provider: str
    resource_from: str = "request"
    model_from_path: str | None = None


def _pattern(host: str) -> re.Pattern[str]:
    return re.compile(r"[a-z0-9.-]+".join(re.escape(part) for part in host.split("*")))


_EXACT = MappingProxyType({host: row for row in ROWS for host in row.hosts if "*" not in host})
_WILD = tuple((_pattern(host), row) for row in ROWS for host in row.hosts if "*" in host)


def maybe_inference(raw_path: bytes) -> bool:
    """Return whether `recognise` is worth calling for a request target: False for nearly every other request."""
    path = raw_path.partition(b"?")[0]
    if path.endswith(b"/"):
        path = path.rstrip(b"/")
    return path[path.rfind(b"/") + 1 :] in _LAST


def recognise(
    method: str,
    host: str,
    port: int | None,
    path: str,
    headers: Mapping[str, str],
    custom: Mapping[str, tuple[str, str | None]] = MappingProxyType({}),
) -> Match | None:
    """Return what an HTTP request asks of a GenAI provider, or None where it is not an inference.

    `headers` is read by lower-case name. `custom` maps "host" or "host:port" to (wire family "openai" or "anthropic",
    category or None) and wins over the known hosts; a host that is neither is judged by the shape of its path alone.
    """
    if method.upper() != "POST":
        return None
    segments = [segment for segment in path.partition("?")[0].split("/") if segment]
    if not segments or not _NOT_INFERENCE.isdisjoint(segments) or segments[:3] in _PAYI_PATHS:
        return None
    host = host.lower().rstrip(".")
    named = custom.get(f"{host}:{port}") or custom.get(host)
    if named is not None:
        return _custom(named, segments)
    row = _row(host)
    api = _api(segments, headers, row)
    if api is None:
        return None
    if row is None:
        if "json" not in headers.get("content-type", "json").lower():
            return None  # a survey's form answers are POSTed to .../responses, too
        row = _UNKNOWN[api.partition(".")[0]]
    category = row.category
    if api == "anthropic.messages" and row.anthropic_category:
        category = row.anthropic_category
    return Match(api, category, row.name, row.resource_from, _model(segments))


def _custom(named: tuple[str, str | None], segments: list[str]) -> Match | None:
    family, category = named
    api = "anthropic.messages" if family == "anthropic" and segments[-1] == "messages" else None
    if family == "openai":
        api = _openai_api(segments, plain_chat=False)
    if api is None:
        return None
    return Match(api, category or _UNKNOWN[family].category, "custom", model_from_path=_model(segments))


def _row(host: str) -> Row | None:
    found = _EXACT.get(host)
    if found is None:
        found = next((row for pattern, row in _WILD if pattern.fullmatch(host)), None)
    return found


def _api(segments: list[str], headers: Mapping[str, str], row: Row | None) -> str | None:
    if segments[-1] == "messages":
        versioned = segments[-2:] == ["v1", "messages"]
        told = (
            "anthropic-version" in headers or "anthropic" in segments or (row is not None and row.name == "anthropic")
        )
        return "anthropic.messages" if versioned and told else None
    if segments == ["api", "embeddings"]:
        return None  # Ollama's own embeddings, which count nothing
    return _openai_api(segments, plain_chat=row is not None and row.plain_chat)


def _openai_api(segments: list[str], plain_chat: bool) -> str | None:
    last, before = segments[-1], segments[-2] if len(segments) > 1 else ""
    if last == "completions":
        return "openai.chat" if before == "chat" else "openai.completions"
    if last == "chat":
        return "openai.chat" if plain_chat else None
    if last == "compact":
        # Compaction is billed like any response: https://platform.openai.com/docs/api-reference/responses/compact
        return "openai.responses" if before == "responses" else None
    return _OPENAI_APIS.get(last)


def _model(segments: list[str]) -> str | None:
    """Return the model that follows `deployments` (Azure) or `engines` (OpenAI's first API, LiteLLM)."""
    for name in ("deployments", "engines"):
        if name in segments[:-2]:
            return segments[segments.index(name) + 1]
    return None
