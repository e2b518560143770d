"""What a request body asks for."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from .answer import Asked
from .bedrock_usage import guardrail_asked
from .forms import fields_of
from .match import Match
from .values import carve, loads, text

__all__ = ["asked_of", "model_named", "read_request"]

_BODY_LIMIT = 32 * 2**20
_ENDS = 65_536
_MODELS = ("model", "model_id", "version", "agent")  # nearly everybody's, watsonx's, Replicate's, Gemini's agents
_MODEL_IN_PATH = ("bedrock.", "sagemaker.")
_TOLD_MORE = b"guardrailConfig"  # Converse's
_STREAMS = frozenset({"gemini.stream_generate", "bedrock.converse_stream", "bedrock.invoke_stream"})
_NAME = rb'\s*:\s*"((?:[^"\\]|\\.){1,512})"'
_MODEL = re.compile(rb'"(%s)"' % "|".join(_MODELS).encode() + _NAME)
_MODEL_FIRST = re.compile(rb'\s*\{\s*"model"\s*:\s*"([^"\\]{1,512})"')
_STREAM = re.compile(rb'"stream"\s*:\s*true')


def read_request(match: Match, body: bytes | None) -> Asked:
    """Return the model and the stream flag of a request body; never raises, whatever the bytes are.

    A model that the path names (Azure's deployments) stands in for one that the body lacks; Google's and Amazon's paths
    name the model itself, which counts whatever the body says. Of a body above 32 MiB only the first and the last
    64 KiB are searched: SDKs put the prompt between the small members.
    """
    told = _told(body) if body else {}
    model = next((found for name in _MODELS if (found := text(told.get(name)))), None)
    if match.publisher is not None or match.api.startswith(_MODEL_IN_PATH):
        model = match.model_from_path or model
    stream = told.get("stream") is True or match.api in _STREAMS
    return Asked(model or match.model_from_path, stream, guardrail_asked(told.get("guardrailConfig")))


def asked_of(match: Match, body: bytes | None) -> Asked:
    """Return what a report tells of a request: with the prompt unread, unless there is more to be told than a model."""
    if body and match.model_from_path is None:
        first = _MODEL_FIRST.match(body)  # where the SDKs write it
        if first is not None:
            return _asked_for(first[1])
    if body and match.api.startswith("bedrock.") and _TOLD_MORE in body:
        return read_request(match, body)
    return _asked(model_named(match, body))


# An app asks for few models, and asks again and again.

_asked = lru_cache(maxsize=256)(Asked)


@lru_cache(maxsize=256)
def _asked_for(name: bytes) -> Asked:
    return Asked(_model(name))


def model_named(match: Match, body: bytes | None) -> str | None:
    """Return the model that `read_request` finds, mostly without reading the body: by a search for its name.

    The quotes in a JSON text are escaped, so that no prompt is taken for it. Where there is more than one name, as in
    a tool's input, or another one than a model's, the body is read.
    """
    in_path = match.model_from_path
    if not body or (in_path and (match.publisher is not None or match.api.startswith(_MODEL_IN_PATH))):
        return in_path
    first = _MODEL_FIRST.match(body)
    if first is not None:
        return _model(first[1])
    named = set(_MODEL.findall(body))
    if not named and not body.startswith(b"--"):
        return in_path
    if len(named) == 1:
        member, name = named.pop()
        model = name.decode("utf-8", "replace")
        if member == b"model" and b"\\" not in name and in_path in (None, model):
            return text(model)
    return read_request(match, body).model


def _model(name: bytes) -> str | None:
    return text(name.decode("utf-8", "replace"))


def _told(body: bytes) -> dict[str, Any]:
    if len(body) > _BODY_LIMIT:
        ends = body[:_ENDS] + b"\0" + body[-_ENDS:]
        return {"model": carve(ends).get("model"), "stream": bool(_STREAM.search(ends))}
    return loads(body) or fields_of(body)
