"""What a finished exchange says: the reading that the app's thread was spared. Runs on a delivering thread."""

from __future__ import annotations

import json

from .providers import Answer, asked_of
from .providers.decoding import UndecodableError, decoder_for
from .recorder import Exchange
from .report import Content, Observed

_KEPT_REQUEST = 1024 * 1024
_KEPT_RESPONSE = 1024 * 1024


def observe(exchange: Exchange) -> Observed:
    """Read the request and the response of an exchange that has ended."""
    return Observed(
        match=exchange.match,
        asked=exchange.asked or asked_of(exchange.match, exchange.request),
        answer=answer_of(exchange),
        status=exchange.status,
        timing=exchange.timing,
        failure=exchange.failure,
        ended_early=exchange.failure is None and not exchange.terminated,
        provider_uri=exchange.kind.provider_uri,
        module=exchange.kind.module,
        content=content_of(exchange),
    )


def answer_of(exchange: Exchange) -> Answer:
    """Read the response of an exchange that has ended."""
    if exchange.answer is None:
        exchange.answer = Answer() if exchange.reader is None else exchange.reader.finish()
    return exchange.answer


def content_of(exchange: Exchange) -> Content | None:
    """Return the prompt and the answer, where the app asked for them to be reported."""
    return None if exchange.content is None else _content(exchange)


def _content(exchange: Exchange) -> Content:
    text = _decoded(b"".join(exchange.content or ()), exchange.content_encoding)
    lines = [line.removeprefix("data:").strip() for line in text.splitlines() if line.startswith("data:")]
    request = (exchange.request or b"")[:_KEPT_REQUEST].decode("utf-8", errors="replace")
    return Content(request=request or None, response=(lines if lines and not _is_json(text) else text) or None)


def _decoded(body: bytes, content_encoding: str | None) -> str:
    """Undo the content encoding, up to a bound: a small body may inflate to gigabytes."""
    kept: list[bytes] = []
    try:
        decode = decoder_for(content_encoding or "")
        for piece in (body,) if decode is None else decode(body):
            kept.append(piece)
            if sum(map(len, kept)) > _KEPT_RESPONSE:
                break
    except UndecodableError:
        pass
    return b"".join(kept)[:_KEPT_RESPONSE].decode("utf-8", errors="replace")


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
