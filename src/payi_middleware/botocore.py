"""Metered calls of Bedrock and SageMaker by boto3, which runs on urllib3.

The seam is botocore's `Endpoint`, one class that every client's calls go through, those of older clients included:
`_send` sends one attempt, `make_request` returns the answer that the app gets. botocore's own events would cover
clients made later only, and would not see the bytes of a stream. Each attempt is reported, as with any other SDK's
retries: the provider has seen and answered each, and a first one that timed out may well be billed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from io import BytesIO
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from .beginning import begin
from .calls import Call
from .context import Frame
from .exceptions import ConfigurationError
from .gatekeeping import admit, ask
from .identifying import settle_identity
from .limits.refusal import Refusal
from .log import warn
from .metering import CALL_EXTENSION
from .proxying.over_botocore import send_through
from .recorder import Exchange
from .routing import Asked
from .urllib3_body import hold, watch
from .urls import target_at

RESULT = "xproxy_result"
"""The key of the result in an answer of boto3."""
_SERVICES = frozenset({"bedrock-runtime", "runtime.sagemaker"})


def patch_endpoint(module: ModuleType) -> Callable[[], None]:
    """Meter the calls of every client, and return how to undo that.

    Args:
        module: `botocore.endpoint`.

    Raises:
        ConfigurationError: this version of botocore has no such seam any more.
    """
    endpoint = getattr(module, "Endpoint", None)
    if not all(callable(getattr(endpoint, name, None)) for name in ("_send", "make_request")):
        raise ConfigurationError(
            "botocore",
            "its Endpoint has no _send or no make_request in this version, so calls by boto3 cannot be metered",
            "Install a supported version.",
        )
    undo = [_replace(endpoint, "_send", _metering), _replace(endpoint, "make_request", _answering)]

    def undo_all() -> None:
        for one in undo:
            one()

    return undo_all


def _replace(endpoint: Any, name: str, make: Callable[[Any], Any]) -> Callable[[], None]:
    original = getattr(endpoint, name)
    replaced = make(original)
    wanted = [True]

    @wraps(original)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        metered = wanted and getattr(self, "_endpoint_prefix", None) in _SERVICES
        return (replaced if metered else original)(self, *args, **kwargs)

    setattr(endpoint, name, method)

    def undo() -> None:
        wanted.clear()  # who patched after us may call us for ever
        if getattr(endpoint, name) is method:
            setattr(endpoint, name, original)

    return undo


def _metering(send: Any) -> Any:
    def metered(self: Any, request: Any) -> Any:
        exchange = _begin(request, settle_identity())
        if exchange is None:
            return send(self, request)
        if (admission := ask(exchange)) and (refusal := admit(exchange, admission)) is not None:
            return _refused(request, exchange, refusal)
        if exchange.model_instead is not None:  # the signature is over the path that names the model
            warn("substitute", "A call of boto3 cannot be made with another model: it is signed")
        try:
            passage = exchange.proxying.passage(exchange, partial(_asked, request))
            response = None if passage is None else send_through(passage, request, partial(send, self))
            if response is None:
                response = send(self, request)
        except BaseException as error:
            exchange.fail(error)
            raise
        _watch(response, exchange, streamed=request.stream_output)
        return response

    return metered


def _answering(make_request: Any) -> Any:
    def answering(self: Any, *args: Any, **kwargs: Any) -> Any:
        answered = make_request(self, *args, **kwargs)
        if not isinstance(answered, tuple):
            return answered  # a coroutine of aiobotocore's
        response, parsed = answered
        call = getattr(response, "extensions", {}).get(CALL_EXTENSION)
        if call is None or response.status_code >= 300:
            return answered
        return response, BedrockAnswer(parsed, call)

    return answering


def _begin(request: Any, frame: Frame | None) -> Exchange | None:
    try:
        url = urlsplit(request.url)
        headers = {name.lower(): _text(value) for name, value in request.headers.items()}
        body = bytes(request.body) if isinstance(request.body, (bytes, bytearray)) else None
        target = target_at(url.scheme, url.hostname or "", url.port, url.path)
        return begin(request.method, target, headers, body, frame)
    except Exception as error:  # noqa: BLE001 - fail open: the provider call goes on unmetered
        warn("begin", "A provider call could not be recorded: %s", type(error).__name__)
        return None


def _asked(request: Any) -> Asked:
    url = urlsplit(request.url)
    return Asked(url.scheme, url.netloc, url.path, url.query)


def _text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _refused(request: Any, exchange: Exchange, refusal: Refusal) -> Any:
    """Return the answer to a call that is not made."""
    from botocore.awsrequest import AWSResponse  # here it is loaded already
    from urllib3 import HTTPResponse

    raw = HTTPResponse(body=BytesIO(refusal.body), headers=refusal.headers, preload_content=False)
    response = AWSResponse(request.url, refusal.status, raw.headers, raw)
    response.extensions = {CALL_EXTENSION: exchange.call}
    return response


def _watch(response: Any, exchange: Exchange, *, streamed: bool) -> None:
    """Watch the response's body; of a call that is not streamed, it has been read already."""
    try:
        headers = response.headers  # of any case
        if not exchange.respond(response.status_code, headers):
            return
        response.extensions = {CALL_EXTENSION: exchange.call}
        if streamed:
            sieve = None if exchange.passage is None else exchange.passage.sieve
            watch(response.raw, exchange, response.status_code, headers, sieve=sieve)
            return
        exchange.feed(response.content)
        exchange.finish(complete=True)
    except Exception as error:  # noqa: BLE001 - fail open: the app gets its response
        warn("respond", "A provider response could not be watched: %s", type(error).__name__)
        exchange.fail(error)
    hold(exchange)


class BedrockAnswer(dict[str, Any]):
    """An answer of boto3's, which has the call's result under the key `xproxy_result` once that is in.

    The key can be asked for, and is not among the answer's items: results come from another thread, and a dict that
    grew while the app goes through it would make the app fail. Copies and pickles are plain dicts.
    """

    __slots__ = ("extensions",)

    def __init__(self, answer: dict[str, Any], call: Call) -> None:
        super().__init__(answer)
        self.extensions = {CALL_EXTENSION: call}

    def __missing__(self, key: str) -> Any:
        result = self.extensions[CALL_EXTENSION].result if key == RESULT else None
        if result is None:
            raise KeyError(key)
        return result

    def __contains__(self, key: object) -> bool:
        return super().__contains__(key) or (key == RESULT and self.extensions[CALL_EXTENSION].result is not None)

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of `key`, or `default`."""
        try:
            return self[key]
        except KeyError:
            return default

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return dict, (dict(self),)
