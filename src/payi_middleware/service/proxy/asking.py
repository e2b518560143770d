"""Having a stream tell its usage: what is added to a request for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from payi_middleware.providers import Asked, Match
from payi_middleware.providers.decoding import UndecodableError, decoder_for
from payi_middleware.service.errors import ServiceError, invalid
from payi_middleware.stream_usage import asking_for_usage, is_signed

from .families import Family
from .recognising import asks_for_usage
from .targets import Target
from .upstream import Upstream

__all__ = ["Asking", "asking", "decoded"]


@dataclass(frozen=True, slots=True)
class Asking:
    """A request's body.

    Args:
        body: what is sent.
        taken_out: the usage is asked for on our own account, so that the chunk with it is taken out of the answer.
        fallback: the body as it came, where the provider may refuse what was added to it.
    """

    body: bytes
    taken_out: bool = False
    fallback: bytes | None = None


def asking(
    body: bytes,
    asked: Asked,
    *,
    family: Family,
    target: Target,
    match: Match,
    headers: Mapping[str, str],
    upstream: Upstream,
) -> Asking:
    """Return a request's body with the usage of its stream asked for, where it is not told unasked."""
    if not asked.stream or is_signed(headers):
        return Asking(body)
    sure = asks_for_usage(family, target, match)
    if sure is False or (sure is None and target.authority in upstream.strict):
        return Asking(body)
    changed = asking_for_usage(body) or _insisting(body)
    return Asking(body) if changed is None else Asking(changed, taken_out=True, fallback=None if sure else body)


def decoded(body: bytes, encoding: str | None, maximum: int) -> bytes:
    """Return a request's body without its content encoding.

    Raises:
        ServiceError: 400, it cannot be undone; 413, it becomes larger than `maximum` bytes.
    """
    if not encoding:
        return body
    plain = bytearray()
    try:
        decode = decoder_for(encoding)
        for piece in (body,) if decode is None else decode(body):
            plain += piece
            if len(plain) > maximum:
                raise ServiceError(413, "request_processing_error", f"the body is larger than {maximum} bytes")
    except UndecodableError as error:
        raise invalid("the body is in an encoding that cannot be read") from error
    return bytes(plain)


def _insisting(body: bytes) -> bytes | None:
    """Return a body that says that it wants no usage with the opposite: what is not counted has no limit."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return None
    options = told.get("stream_options") if isinstance(told, dict) else None
    if not isinstance(options, dict) or options.get("include_usage") is True:
        return None
    told["stream_options"] = {**options, "include_usage": True}
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")
