"""The metering of one call of httpx's or httpx2's, sync or async: everything but the waiting."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

from .annotations import NOTHING, Annotations
from .beginning import begin
from .context import Frame
from .headers import CALL_PREFIX, read_annotations
from .limits.substituting import substituted
from .log import warn
from .raw_headers import listed
from .recorder import Exchange
from .routing import Asked
from .stream_usage import asking_for_usage, is_signed, taking_out
from .urls import Target

if TYPE_CHECKING:
    from .proxying.passage import Passage
    from .proxying.sieves import Sieve

__all__ = ["CALL_EXTENSION", "METERED", "Change", "begun", "watch"]

CALL_EXTENSION = "payi_call"
"""Key in a response's `extensions` under which the call is found again."""
METERED = "payi_metered"
"""Key in a request's `extensions` that says that somebody meters it already."""

_NONE = None, None
_AGENT = b"user-agent"
_PREFIX = CALL_PREFIX.encode()
_STREAM = b'"stream"'
"""Only an answer to a request that says this may be one that tells its usage only if asked."""


def _own_names(headers: Iterable[bytes]) -> Collection[bytes]:
    """Name the `xProxy-*` headers that the app put on a call, of the lower-case names of all."""
    return {name for name in headers if name.startswith(_PREFIX)}


def _content(request: Any) -> bytes | None:
    try:
        content: bytes = request.content
    except RuntimeError:  # RequestNotRead: an upload that is read while it is sent
        return _small_fields(request.stream)
    return content


def _small_fields(stream: Any) -> bytes | None:
    """Return a form's fields without its files, such as the model that an audio file is sent to."""
    fields = getattr(stream, "fields", None)
    if not isinstance(fields, list):
        return None
    told = [field.render_headers() + field.render_data() for field in fields if not hasattr(field, "file")]
    return b"".join(b"--\r\n" + field + b"\r\n" for field in told)


def begun(request: Any, target: Target, frame: Frame | None) -> tuple[Exchange | None, Change | None]:
    """Begin to record a call.

    Args:
        request: httpx's or httpx2's.
        target: where it goes to.
        frame: what is in force where it is made.

    Returns:
        Its recording, and what may change it before it is sent: no recording of what is no call of a provider's, and no
        change of what is sent as it is, as most are.
    """
    try:
        headers = request.headers
        names, rows = listed(headers)
        own = NOTHING if _PREFIX not in b"\n".join(names) else _own(headers, names)  # as nearly all calls have none
        try:
            body = request._content  # what `content` is in both libraries, which calls a function for it
        except AttributeError:
            body = _content(request)
        agent = rows[names.index(_AGENT)][2] if _AGENT in names else None
        exchange = begin(request.method, target, headers, body, frame, own, agent)
    except Exception as error:  # noqa: BLE001 - fail open: the provider call goes on unmetered
        warn("begin", "A provider call could not be recorded: %s", type(error).__name__)
        return _NONE
    if exchange is None or not (exchange.hindered or own is not NOTHING or (body is not None and _STREAM in body)):
        return exchange, None
    return exchange, Change(request, exchange)


def _own(headers: Any, names: Iterable[bytes]) -> Annotations:
    """Return what the app put on a call itself: NOTHING only if it has no header for that."""
    if not _own_names(names):
        return NOTHING
    read = read_annotations(headers.get)
    return Annotations() if read is NOTHING else read


def watch(exchange: Exchange, response: Any, wrap: Any, change: Change | None) -> None:
    """Watch a response's body; one that was read already, as mock transports give it, ends the exchange."""
    try:
        read_already = response.is_stream_consumed
        call = exchange.respond(response.status_code, response.headers, decoded=read_already)
        if call is None:
            return
        response.extensions = {**response.extensions, CALL_EXTENSION: call}
        extra = None if change is None else change.added(response, decoded=read_already)
        if read_already:
            exchange.feed(response.content)
            exchange.finish(complete=True)
            if extra is not None:
                response._content = extra.pass_on(response.content) + extra.rest()
        else:
            response.stream = wrap(response.stream, exchange, extra)
    except Exception as error:  # noqa: BLE001 - fail open: the app gets its response
        warn("respond", "A provider response could not be watched: %s", type(error).__name__)
        exchange.fail(error)


class Change:
    """What a call is changed in before it is sent, which the app is not to see.

    Args:
        request: httpx's or httpx2's.
        exchange: its recording.

    `sent` is the request that is to be sent.
    """

    __slots__ = ("_asked", "_exchange", "_own_headers", "_request", "sent")

    def __init__(self, request: Any, exchange: Exchange) -> None:
        self._request = self.sent = request
        self._exchange = exchange
        self._asked = False
        self._own_headers: list[tuple[bytes, bytes]] | None = None
        if exchange.call_annotations is not NOTHING:
            try:
                headers = request.headers
                self._own_headers = headers.raw
                for name in _own_names(listed(headers)[0]):
                    del headers[name.decode("ascii")]
            except Exception as error:  # noqa: BLE001 - fail open: the provider gets what it knows nothing of
                warn("own headers", "The headers of a provider call are sent with it: %s", type(error).__name__)

    def passage(self) -> Passage | None:
        """Return the call's way through Pay-i; None if it goes to the provider, which is asked for the usage then."""
        passage: Passage | None = self._exchange.proxying.passage(self._exchange, self._asked_for)
        return passage

    def _asked_for(self) -> Asked:
        url = self.sent.url
        path, _, query = url.raw_path.decode("ascii").partition("?")
        return Asked(url.scheme, url.netloc.decode("ascii"), path, query)

    def ask_for_usage(self) -> None:
        """Have a stream tell its usage that would not do so unasked."""
        exchange, request = self._exchange, self.sent
        try:
            if (body := exchange.request) is None:
                return
            if exchange.may_ask_for_usage(request.url.query.decode("ascii")):
                self._ask_for_usage(request, body)
        except Exception as error:  # noqa: BLE001 - fail open: it is sent as the app wrote it
            warn("asking", "A stream could not be asked for its usage: %s", type(error).__name__)

    def _ask_for_usage(self, request: Any, asked: bytes) -> None:
        body = asking_for_usage(asked)
        if body is not None and not is_signed(request.headers):
            self._asked = True
            self.sent = type(request)(
                request.method,
                request.url,
                headers={
                    **request.headers,
                    "content-length": str(len(body)),
                    "accept-encoding": "identity",  # an event cannot be taken out of compressed bytes
                },
                content=body,
                extensions=request.extensions,
            )

    def substitute(self, model: str) -> None:
        """Ask for another model than the app did, since a limit runs out."""
        exchange, request = self._exchange, self.sent
        try:
            path, query, tail = request.url.raw_path.decode("ascii").partition("?")
            changed = None if is_signed(request.headers) else substituted(exchange, path, request.content, model)
            if changed is None:
                warn("substitute", "A call could not be made with another model: it is signed, or names none")
                return
            body = changed.body or b""
            self.sent = type(request)(
                request.method,
                request.url.copy_with(raw_path=f"{changed.path}{query}{tail}".encode("ascii")),
                headers={**request.headers, "content-length": str(len(body))},
                content=body,
                extensions=request.extensions,
            )
        except Exception as error:  # noqa: BLE001 - fail open: it is sent as the app wrote it
            warn("substitute", "A call could not be made with another model: %s", type(error).__name__)

    def restore(self) -> None:
        """Give the app back its request's headers as they were."""
        if self._own_headers:
            self._request.headers = type(self._request.headers)(self._own_headers)

    def added(self, response: Any, *, decoded: bool) -> Sieve | None:
        """Return what takes something out of the body, if there can be anything that the app is not to get."""
        passage = self._exchange.passage
        extra: Sieve | None = None
        if passage is not None:
            extra = passage.sieve
        elif self._asked:
            extra = taking_out(response.status_code, response.headers, decoded=decoded)
        if extra is not None:
            response.headers.pop("content-length", None)
            if extra.decodes:
                del response.headers["content-encoding"]  # or httpx would decode what is decoded
        return extra
