"""Sending a call of httpx's or httpx2's through Pay-i, over the client's own transport for Pay-i's URL."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from payi_middleware.log import warn
from payi_middleware.providers.decoding import UndecodableError, decoder_for
from payi_middleware.underway import sending

from .passage import OURS, Form, Passage

__all__ = ["asend_through", "send_through"]

_OURS = OURS.encode()


def send_through(passage: Passage, request: Any, transport_for: Any, module: ModuleType) -> Any:
    """Send a call through Pay-i; return the response, or None if the call is to be made directly.

    Args:
        passage: its way.
        request: as it would go to the provider. It is not changed.
        transport_for: returns the client's transport for a URL.
        module: `httpx` or `httpx2`.

    Raises:
        Exception: the client's own error, if Pay-i cannot be reached and the call may not be made directly.
    """
    routed = _routed(passage, request, module)
    try:
        response = transport_for(routed.url).handle_request(routed)
    except (module.ConnectError, module.ConnectTimeout, module.ProxyError):
        if passage.unreachable():
            return None
        raise
    if passage.respond(response.status_code, response.headers) is not Form.WHOLE:
        return _without_ours(response)
    if response.is_stream_consumed:  # as in-process transports give it
        return _taken(passage, request, response, response.content, module)
    try:
        body = b"".join(response.stream)
    finally:
        response.stream.close()
    return _taken(passage, request, response, body, module)


async def asend_through(passage: Passage, request: Any, transport_for: Any, module: ModuleType) -> Any:
    """Send a call through Pay-i from async code; see `send_through`."""
    routed = _routed(passage, request, module)
    try:
        sent = transport_for(routed.url).handle_async_request(routed)
        response = await sending(passage.exchange, sent)  # it may run on aiohttp, whose calls are metered, too
    except (module.ConnectError, module.ConnectTimeout, module.ProxyError):
        if passage.unreachable():
            return None
        raise
    if passage.respond(response.status_code, response.headers) is not Form.WHOLE:
        return _without_ours(response)
    if response.is_stream_consumed:
        return _taken(passage, request, response, response.content, module)
    try:
        body = b"".join([chunk async for chunk in response.stream])
    finally:
        await response.stream.aclose()
    return _taken(passage, request, response, body, module)


def _routed(passage: Passage, request: Any, module: ModuleType) -> Any:
    if passage.down:
        raise module.ConnectError("Pay-i cannot be reached", request=request)
    url = module.URL(passage.url)
    said = {b"host": url.netloc}
    signed = "accept-encoding" in _signed_names(request.headers)
    if not signed:
        said[b"accept-encoding"] = b"identity"  # nothing can be taken out of compressed bytes as they are
    headers = [(name, value) for name, value in request.headers.raw if name.lower() not in said]
    headers[:0] = said.items()
    headers += [(name.encode(), value.encode()) for name, value in passage.headers.items()]
    return type(request)(request.method, url, headers=headers, stream=request.stream, extensions=request.extensions)


def _signed_names(headers: Any) -> str:
    """Return what an AWS signature says of the headers that it covers."""
    found: str = headers.get("authorization", "").partition("SignedHeaders=")[2].partition(",")[0]
    return found


def _without_ours(response: Any) -> Any:
    raw = response.headers.raw
    kept = [(name, value) for name, value in raw if not name.lower().startswith(_OURS)]
    if len(kept) < len(raw):
        response.headers = type(response.headers)(kept)
    return response


def _taken(passage: Passage, request: Any, response: Any, body: bytes, module: ModuleType) -> Any:
    """Return the response as the app gets it, whose body was read; None if the call is to be made directly."""
    _without_ours(response)
    if not response.is_stream_consumed:
        body, decoded = _decoded(body, response.headers)
        if decoded:
            del response.headers["content-encoding"]
    passed = passage.read(response.status_code, body, replayable=_is_in_memory(request))
    if passed is None:
        return None
    if "content-length" in response.headers:
        response.headers["content-length"] = str(len(passed))
    if response.is_stream_consumed:
        response._content = passed
    else:
        response.stream = module.ByteStream(passed)
    return response


def _decoded(body: bytes, headers: Any) -> tuple[bytes, bool]:
    try:
        decode = decoder_for(headers.get("content-encoding", ""))
        return (body, False) if decode is None else (b"".join(decode(body)), True)
    except UndecodableError as error:
        warn("proxy decoding", "An answer of Pay-i's could not be decoded: %s", type(error).__name__)
        return body, False


def _is_in_memory(request: Any) -> bool:
    """Return whether a request can be sent again."""
    return hasattr(request, "_content")
