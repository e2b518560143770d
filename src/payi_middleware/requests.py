"""Metered provider calls of requests, such as those of google-genai's sync client where it presents a certificate.

The seam is `HTTPAdapter.send`, which sends one request of every session, older sessions and adapters of the app's own
included. What urllib3 tries again by itself, an adapter's `max_retries`, is one call here: nothing of it can be seen.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import wraps
from io import BytesIO
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from .annotations import NOTHING
from .beginning import begin
from .context import Frame
from .exceptions import ConfigurationError
from .gatekeeping import admit, ask
from .headers import CALL_PREFIX, read_annotations
from .identifying import settle_identity
from .limits.refusal import Refusal
from .limits.substituting import substituted
from .log import warn
from .metering import CALL_EXTENSION
from .providers import maybe_inference
from .recorder import Exchange
from .stream_usage import asking_for_usage, is_signed
from .underway import is_underway
from .urllib3_body import hold, watch
from .urls import target_at


def patch_adapter(module: ModuleType) -> Callable[[], None]:
    """Meter the calls of every session, and return how to undo that.

    Args:
        module: `requests.adapters`.

    Raises:
        ConfigurationError: this version of requests has no such seam any more.
    """
    adapter: Any = getattr(module, "HTTPAdapter", None)
    original = getattr(adapter, "send", None)
    if not callable(original):
        raise ConfigurationError(
            "requests",
            "its HTTPAdapter has no send in this version, so its calls cannot be metered",
            "Install a supported version.",
        )
    wanted = [True]

    @wraps(original)
    def send(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        if not wanted or not _may_be_inference(request) or is_underway():
            return original(self, request, *args, **kwargs)
        return _metered(original, self, request, args, kwargs)

    adapter.send = send

    def undo() -> None:
        wanted.clear()  # who patched after us may call us for ever
        if adapter.send is send:
            adapter.send = original

    return undo


def _may_be_inference(request: Any) -> bool:
    url = getattr(request, "url", None)
    return isinstance(url, str) and maybe_inference(url.encode(errors="replace"))


def _metered(send: Any, adapter: Any, request: Any, args: Any, kwargs: Any) -> Any:
    exchange, sent = _begin(request, settle_identity())
    if exchange is None:
        return send(adapter, request, *args, **kwargs)
    asked = sent.body is not request.body
    if (admission := ask(exchange)) and (refusal := admit(exchange, admission)) is not None:
        return _refused(adapter, request, exchange, refusal)
    exchange.proxying.stay(exchange, "requests")
    if exchange.model_instead is not None:
        sent = _substituted(exchange, request, sent)
    try:
        response = send(adapter, sent, *args, **kwargs)
    except BaseException as error:
        if isinstance(error, ValueError):  # a wrong URL, header or timeout: requests refuses it
            exchange.discard()
        else:
            exchange.fail(error)
        _give_back(error, request, sent)
        raise
    _give_back(response, request, sent)
    _watch(response, exchange, asked=asked)
    hold(exchange)
    return response


def _refused(adapter: Any, request: Any, exchange: Exchange, refusal: Refusal) -> Any:
    """Return the answer to a call that is not made, as an adapter makes one of urllib3's."""
    import urllib3  # here it is loaded already, with `requests`

    raw = urllib3.HTTPResponse(
        body=BytesIO(refusal.body),
        headers=refusal.headers,
        status=refusal.status,
        reason="Bad Request",
        preload_content=False,
    )
    response = adapter.build_response(request, raw)
    response.extensions = {CALL_EXTENSION: exchange.call}
    return response


def _substituted(exchange: Exchange, request: Any, sent: Any) -> Any:
    """Return the request that asks for another model, since a limit runs out."""
    try:
        url = urlsplit(sent.url)
        signed = is_signed({_text(name).lower(): _text(value) for name, value in sent.headers.items()})
        changed = None if signed else substituted(exchange, url.path, _body(sent.body), exchange.model_instead or "")
        if changed is None:
            warn("substitute", "A call could not be made with another model: it is signed, or names none")
            return sent
        made = copy(sent)
        made.headers = sent.headers.copy()
        made.url = url._replace(path=changed.path).geturl()
        if changed.body is not None:
            made.body = changed.body
            made.headers["Content-Length"] = str(len(changed.body))
        return made
    except Exception as error:  # noqa: BLE001 - fail open: it is sent as the app wrote it
        warn("substitute", "A call could not be made with another model: %s", type(error).__name__)
        return sent


def _give_back(outcome: Any, request: Any, sent: Any) -> None:
    """Let what the app gets name the app's own request."""
    if sent is not request and getattr(outcome, "request", None) is sent:
        outcome.request = request


def _begin(request: Any, frame: Frame | None) -> tuple[Exchange | None, Any]:
    """Begin to record, and return the request to send."""
    try:
        url = urlsplit(request.url)
        headers = {_text(name).lower(): _text(value) for name, value in request.headers.items()}
        own = [name for name in headers if name.startswith(CALL_PREFIX)]
        body = _body(request.body)
        exchange = begin(
            request.method,
            target_at(url.scheme, url.hostname or "", url.port, url.path),
            headers,
            body,
            frame,
            read_annotations(lambda name: headers.get(name.lower())) if own else NOTHING,
        )
        if exchange is None:
            return None, request
        asking = None
        if exchange.may_ask_for_usage(url.query) and "content-length" in headers and not is_signed(headers):
            asking = asking_for_usage(body)
        return exchange, _changed(request, asking) if own or asking is not None else request
    except Exception as error:  # noqa: BLE001 - fail open: the provider call goes on unmetered
        warn("begin", "A provider call could not be recorded: %s", type(error).__name__)
        return None, request


def _text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _body(body: object) -> bytes | None:
    """Return a request's body, if it is in memory."""
    if isinstance(body, str):
        return body.encode()
    return bytes(body) if isinstance(body, bytes | bytearray) else None


def _changed(request: Any, asking: bytes | None) -> Any:
    """Return a request as it is sent: without the app's annotations and, if it is to ask for its usage, with that body.

    The app's own stays as it is, since other threads may be sending it, too.
    """
    sent = copy(request)
    headers = sent.headers = request.headers.copy()
    for name in list(headers):
        lower = _text(name).lower()
        if lower.startswith(CALL_PREFIX) or (asking is not None and lower in ("content-length", "accept-encoding")):
            del headers[name]
    if asking is not None:
        sent.body = asking
        headers["Content-Length"] = str(len(asking))
        headers["Accept-Encoding"] = "identity"  # an event cannot be taken out of compressed bytes
    return sent


def _watch(response: Any, exchange: Exchange, *, asked: bool) -> None:
    """Watch the response's body, which `requests` reads after this, streamed or not."""
    try:
        headers = {name.lower(): value for name, value in response.headers.items()}
        if exchange.respond(response.status_code, headers):
            response.extensions = {CALL_EXTENSION: exchange.call}
            watch(response.raw, exchange, response.status_code, headers, asked=asked)
    except Exception as error:  # noqa: BLE001 - fail open: the app gets its response
        warn("respond", "A provider response could not be watched: %s", type(error).__name__)
        exchange.finish()
