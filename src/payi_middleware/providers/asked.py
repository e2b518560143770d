"""What a request body asks for."""

from __future__ import annotations

import re
from typing import Any

from .answer import Asked
from .bedrock_usage import guardrail_asked
from .forms import fields_of
from .match import Match
from .values import carve, loads, text

__all__ = ["read_request"]

_BODY_LIMIT = 32 * 2**20
_ENDS = 65_536
_MODELS = ("model", "model_id", "version", "agent")  # nearly everybody's, watsonx's, Replicate's, Gemini's agents
_MODEL_IN_PATH = ("bedrock.", "sagemaker.")
_STREAMS = frozenset({"gemini.stream_generate", "bedrock.converse_stream", "bedrock.invoke_stream"})
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


def _told(body: bytes) -> dict[str, Any]:
    if len(body) > _BODY_LIMIT:
        ends = body[:_ENDS] + b"\0" + body[-_ENDS:]
        return {"model": carve(ends).get("model"), "stream": bool(_STREAM.search(ends))}
    return loads(body) or fields_of(body)
