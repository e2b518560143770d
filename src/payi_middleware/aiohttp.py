"""Metered provider calls of aiohttp's client, such as those of google-genai's async client.

The seam is `ClientSession._request`, which every request of every session goes through, older sessions included. What
the app gets is aiohttp's own response; the bytes are seen where it reads them, in `response.content`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from types import ModuleType
from typing import Any

from aiohttp import payload
from aiohttp.client_exceptions import ClientResponseError
from aiohttp.formdata import FormData
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from .aiohttp_body import Sieved, Watched, hold
from .aiohttp_refusal import refused_response
from .annotations import NOTHING
from .beginning import begin
from .context import Frame, current_frame
from .exceptions import ConfigurationError
from .gatekeeping import aadmit, ask
from .headers import CALL_PREFIX, read_annotations
from .identifying import asettle_identity
from .limits.substituting import substituted
from .log import warn
from .metering import CALL_EXTENSION
from .providers import maybe_inference
from .recorder import Exchange
from .stream_usage import ExtraChunk, asking_for_usage, is_signed, taking_out
from .underway import is_underway
from .urls import target_at

_SEAM = ("_request", "_prepare_headers", "_build_url")


def patch_session(module: ModuleType) -> Callable[[], None]:
    """Meter the calls of every session, and return how to undo that.

    Args:
        module: `aiohttp.client`.

    Raises:
        ConfigurationError: this version of aiohttp has no such seam any more.
    """
    session = getattr(module, "ClientSession", None)
    if not all(callable(getattr(session, name, None)) for name in _SEAM):
        raise ConfigurationError(
            "aiohttp",
            f"its ClientSession lacks one of {', '.join(_SEAM)} in this version, so its calls cannot be metered",
            "Install a supported version.",
        )
    undo = [_replace(session, "_request", _requesting), _replace(session, "_prepare_headers", _preparing)]

    def undo_all() -> None:
        for one in undo:
            one()

    return undo_all


def _replace(session: Any, name: str, make: Callable[[Any, list[bool]], Any]) -> Callable[[], None]:
    original = getattr(session, name)
    wanted = [True]
    method = wraps(original)(make(original, wanted))
    setattr(session, name, method)

    def undo() -> None:
        wanted.clear()  # who patched after us may call us for ever
        if getattr(session, name) is method:
            setattr(session, name, original)

    return undo


class _Final(CIMultiDict[str]):
    """A request's headers, those of its session included."""


def _preparing(prepare: Any, _: list[bool]) -> Any:
    def prepare_headers(self: Any, headers: Any) -> Any:
        return headers if isinstance(headers, _Final) else prepare(self, headers)

    return prepare_headers


def _requesting(request: Any, wanted: list[bool]) -> Any:
    def request_metered(self: Any, method: str, str_or_url: Any, **options: Any) -> Any:
        if not wanted or not _may_be_inference(str_or_url) or is_underway():
            return request(self, method, str_or_url, **options)
        return _metered(request, self, method, str_or_url, options)

    return request_metered


def _may_be_inference(url: Any) -> bool:
    if isinstance(url, str):
        return maybe_inference(f"{url}/".encode(errors="replace"))  # a host's root may be written without
    if not isinstance(url, URL):
        return False
    path = url.raw_path
    return maybe_inference((path if path != "/" else f"{url.raw_host}/").encode())


async def _metered(request: Any, session: Any, method: str, url: Any, options: dict[str, Any]) -> Any:
    frame = current_frame()
    await asettle_identity(frame)
    decoding = options.get("auto_decompress")
    decoded = session.auto_decompress if decoding is None else decoding
    exchange, options = _begin(session, method, url, options, frame)
    if exchange is None:
        return await request(session, method, url, **options)
    sent = _asking(exchange, session, url, options, decoded=decoded)
    asked = sent is not options
    if (admission := ask(exchange)) and (refusal := await aadmit(exchange, admission)) is not None:
        return await refused_response(session, method, url, exchange, refusal, options.get("raise_for_status"))
    exchange.proxying.stay(exchange, "aiohttp")
    if exchange.model_instead is not None:
        url, sent = _substituted(exchange, session, url, sent)
    try:
        response = await request(session, method, url, **sent)
    except ClientResponseError as error:
        _refuse(error, exchange)
        await hold(exchange)
        raise
    except BaseException as error:
        exchange.fail(error)
        raise
    _watch(response, exchange, decoded=decoded, asked=asked)
    if not exchange.open:
        await hold(exchange)
    return response


def _begin(
    session: Any, method: str, url: Any, options: dict[str, Any], frame: Frame | None
) -> tuple[Exchange | None, dict[str, Any]]:
    """Begin to record, and return the options to request with."""
    if session.closed or (options.get("json") is not None and options.get("data") is not None):
        return None, options  # aiohttp refuses it
    try:
        options = _with_json_written(session, options)
        target = session._build_url(url)
        headers = session._prepare_headers(options.get("headers"))
        own = {name for name in headers if name[:7].lower() == CALL_PREFIX}
        exchange = begin(
            method,
            target_at(target.scheme, target.host or "", target.explicit_port, target.raw_path),
            headers,
            _body(options.get("data")),
            frame,
            read_annotations(headers.get) if own else NOTHING,
        )
        if own and exchange is not None:  # on any other call, such as one to Pay-i's own proxy, they stay
            options["headers"] = _Final([(name, value) for name, value in headers.items() if name not in own])
    except Exception as error:  # noqa: BLE001 - fail open: aiohttp sends it, or says what is wrong with it
        warn("begin", "A provider call could not be recorded: %s", type(error).__name__)
        return None, options
    return exchange, options


def _asking(exchange: Exchange, session: Any, url: Any, options: dict[str, Any], *, decoded: bool) -> dict[str, Any]:
    """Return the options to request with so that a stream tells its usage; the same ones if there is nothing to ask."""
    try:
        query = f"{URL.build(query=options.get('params')).raw_query_string}&{session._build_url(url).raw_query_string}"
        if not exchange.may_ask_for_usage(query):
            return options
        headers = _Final(session._prepare_headers(options.get("headers")))
        body = None if is_signed(headers) else asking_for_usage(exchange.request)
        if body is None:
            return options
        headers.popall("content-length", None)
        if not decoded:
            headers["accept-encoding"] = "identity"  # an event cannot be taken out of compressed bytes
        return {**options, "headers": headers, "data": _replaced(options["data"], body)}
    except Exception as error:  # noqa: BLE001 - fail open: it is sent as the app wrote it
        warn("asking", "A stream could not be asked for its usage: %s", type(error).__name__)
        return options


def _substituted(exchange: Exchange, session: Any, url: Any, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Return URL and options of the request that asks for another model, since a limit runs out."""
    try:
        target, headers = session._build_url(url), _Final(session._prepare_headers(options.get("headers")))
        body = _body(options.get("data"))
        changed = (
            None if is_signed(headers) else substituted(exchange, target.raw_path, body, exchange.model_instead or "")
        )
        if changed is None:
            warn("substitute", "A call could not be made with another model: it is signed, or names none")
            return url, options
        headers.popall("content-length", None)
        url = URL.build(
            scheme=target.scheme,
            authority=target.raw_authority,
            path=changed.path,
            query_string=target.raw_query_string,
            encoded=True,
        )
        data = options.get("data") if changed.body is body else _replaced(options["data"], changed.body or b"")
        return url, {**options, "headers": headers, "data": data}
    except Exception as error:  # noqa: BLE001 - fail open: it is sent as the app wrote it
        warn("substitute", "A call could not be made with another model: %s", type(error).__name__)
        return url, options


def _replaced(data: Any, body: bytes) -> Any:
    """Return `body` in the form of the body that it stands in for, as the content type follows from that."""
    if isinstance(data, payload.Payload):
        return payload.BytesPayload(body, headers=data.headers)
    return body.decode() if isinstance(data, str) else body


def _with_json_written(session: Any, options: dict[str, Any]) -> dict[str, Any]:
    """Write a JSON body as aiohttp would do next, so that it need not be written twice."""
    content = options.get("json")
    if content is None:
        return dict(options)
    dumps = getattr(session, "_json_serialize_bytes", None)
    data = (
        payload.JsonPayload(content, dumps=session.json_serialize)
        if dumps is None
        else payload.JsonBytesPayload(content, dumps=dumps)
    )
    return {**options, "json": None, "data": data}


def _body(data: Any) -> bytes | None:
    """Return a request's body, if it is in memory; of a form, the fields without the files."""
    if isinstance(data, payload.BytesPayload):
        data = data._value
    if isinstance(data, str):
        return data.encode()
    if isinstance(data, bytes | bytearray | memoryview):
        return bytes(data)
    fields: list[tuple[str, Any]] = []
    if isinstance(data, FormData):
        fields = [(options["name"], value) for options, _, value in data._fields if "filename" not in options]
    elif isinstance(data, dict):
        fields = list(data.items())
    told = [(name, value) for name, value in fields if isinstance(value, str)]
    return b"".join(b'--\r\nname="%s"\r\n\r\n%s\r\n' % (name.encode(), value.encode()) for name, value in told) or None


def _refuse(error: ClientResponseError, exchange: Exchange) -> None:
    """Record an answer that `raise_for_status` has made an exception of, before anybody saw it."""
    if error.headers is None or not exchange.respond(error.status, error.headers, decoded=True):
        exchange.fail(error)  # it was none: broken HTTP, a redirect too many
    else:
        exchange.finish()


def _watch(response: Any, exchange: Exchange, *, decoded: bool, asked: bool) -> None:
    """Watch the reading of a response's body; one that was read already, say by a middleware, ends the exchange."""
    try:
        if response.status == 101:  # a websocket
            exchange.discard()
        elif exchange.respond(response.status, response.headers, decoded=decoded):
            response.extensions = {CALL_EXTENSION: exchange.call}
            extra = taking_out(response.status, response.headers, decoded=decoded) if asked else None
            if response._body is not None:
                exchange.feed(response._body)
            if response._body is not None or response.content.at_eof():
                exchange.finish(complete=True)
                _sieve_read(response, extra)
            else:
                response.content = Watched(response.content, exchange)
                _sieve(response, extra)
    except Exception as error:  # noqa: BLE001 - fail open: the app gets its response
        warn("respond", "A provider response could not be watched: %s", type(error).__name__)
        exchange.fail(error)


def _sieve(response: Any, extra: ExtraChunk | None) -> None:
    """Take the chunk that was asked for out of what the app will read."""
    if extra is not None and (not extra.decodes or _without_encoding(response)):
        response.content = Sieved(response.content, extra)


def _without_encoding(response: Any) -> bool:
    """Take the content encoding out of a response's headers; return whether that went well."""
    name = "content-encoding"
    kept = [(key, value) for key, value in response.headers.items() if key.lower() != name]
    raw = tuple((key, value) for key, value in response.raw_headers if key.lower() != name.encode())
    response._headers, response._raw_headers = CIMultiDictProxy(CIMultiDict(kept)), raw
    response._cache.clear()  # of its properties, each of which is one of its fields
    return name not in response.headers


def _sieve_read(response: Any, extra: ExtraChunk | None) -> None:
    """Take it out of what was read before the app gets the response."""
    if extra is not None and not extra.decodes and response._body:
        response._body = extra.pass_on(response._body) + extra.rest()
