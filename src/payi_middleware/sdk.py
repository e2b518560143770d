"""Results where the code is: `xproxy_result` on the objects that the providers' SDKs hand out.

A plain answer is found where the SDK makes it out of a response, and is held weakly; a stream leads to its response.
Both look the result up when it is asked for. `_SEAMS` says where that is in each SDK.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, closing, suppress
from functools import partial, wraps
from typing import Any
from weakref import WeakSet, ref

from .calls import Call
from .forks import ForkSafeLock
from .log import warn
from .metering import CALL_EXTENSION

ATTRIBUTE = "xproxy_result"

_links: dict[int, tuple[ref[Any], Call]] = {}
"""The call behind each living answer, by identity: models cannot be hashed, and would be pickled with what we add."""
_forget = _links.pop
_NO_LINK = None, None
_undo: list[Callable[[], None]] = []
_shown: WeakSet[type[Any]] = WeakSet()
"""The classes of answers that were made to show their results."""
_showing: set[type[Any]] = set()
"""Some of those that do. Apps may make a class for each call: no more than so many are kept alive."""
_MOST_SHOWING = 256
_lock = ForkSafeLock()
looked_at = 0
"""How many modules were loaded when they were last looked at: whether there are new ones is asked for every call."""


def hook_loaded_sdks() -> None:
    """Hook what the SDKs have imported since the last time."""
    global looked_at
    with _lock:
        looked_at = len(sys.modules)
        for name, seams in _pending.items():
            if name in sys.modules:
                _pending[name] = [seam for seam in seams if not _hook(name, *seam)]


def unhook_sdks() -> None:
    """Undo exactly what `hook_loaded_sdks()` did."""
    global looked_at
    with _lock:
        looked_at = 0
        _showing.clear()
        _undo.extend(partial(delattr, answers, ATTRIBUTE) for answers in list(_shown))
        _shown.clear()
        while _undo:
            _undo.pop()()
        _pending.update((name, list(seams)) for name, seams in _SEAMS.items())


def _hook(name: str, module: str, path: str, make: Callable[[Any], Any]) -> bool:
    """Put a seam's replacement in place, if its module was imported; return whether it needs no more looking after."""
    owner: Any = sys.modules.get(module)
    if owner is None:
        return False
    *parents, attribute = path.split(".")
    try:
        for parent in parents:
            owner = getattr(owner, parent, None)
        if owner is None:
            return True  # an older version of the SDK, without this class
        original = getattr(owner, attribute, None)
        if (original is None) == (attribute == ATTRIBUTE):  # streams of one class inherit it from another
            _replace(owner, attribute, make(original))
    except Exception as error:  # noqa: BLE001 - an unknown version of the SDK: results stay reachable otherwise
        warn(f"sdk {name}", "The %s SDK could not be given results: %s", name, type(error).__name__)
    return True


def _replace(owner: Any, attribute: str, value: Any) -> None:
    inherited = attribute not in vars(owner)
    original = vars(owner).get(attribute)
    setattr(owner, attribute, value)
    _undo.append(partial(delattr, owner, attribute) if inherited else partial(setattr, owner, attribute, original))


def _parsing(parse: Callable[..., Any]) -> Callable[..., Any]:
    """Link what a method makes of `self.http_response` (Stainless: openai, anthropic, groq)."""
    if inspect.iscoroutinefunction(parse):

        @wraps(parse)
        async def parse_async(self: Any, *args: Any, **kwargs: Any) -> Any:
            parsed = await parse(self, *args, **kwargs)
            _link(parsed, self.http_response)
            return parsed

        return parse_async

    @wraps(parse)
    def parse_sync(self: Any, *args: Any, **kwargs: Any) -> Any:
        parsed = parse(self, *args, **kwargs)
        _link(parsed, self.http_response)
        return parsed

    return parse_sync


def _unmarshalling(unmarshal: Callable[..., Any]) -> Callable[..., Any]:
    """Link what a function of (type, response) makes (Speakeasy: mistralai)."""

    @wraps(unmarshal)
    def unmarshal_linked(typ: Any, http_res: Any, *args: Any, **kwargs: Any) -> Any:
        parsed = unmarshal(typ, http_res, *args, **kwargs)
        _link(parsed, http_res)
        return parsed

    return unmarshal_linked


def _holding(init: Callable[..., Any]) -> Callable[..., Any]:
    """Link what an object is made to hold beside its response; of a stream, the last event (Fern: cohere)."""

    @wraps(init)
    def init_linked(self: Any, response: Any, data: Any, *args: Any, **kwargs: Any) -> None:
        if inspect.isgenerator(data):
            data = _linking_end(data, response)
        elif inspect.isasyncgen(data):
            data = _linking_end_async(data, response)
        else:
            _link(data, response)
        init(self, response, data, *args, **kwargs)

    return init_linked


def _linking_end(events: Any, response: Any) -> Iterator[Any]:
    with closing(events):
        for event in events:
            if _ends(event):
                _link(event, response)
            yield event


async def _linking_end_async(events: Any, response: Any) -> AsyncIterator[Any]:
    async with aclosing(events):
        async for event in events:
            if _ends(event):
                _link(event, response)
            yield event


def _ends(event: Any) -> bool:
    return (getattr(event, "type", None) or getattr(event, "event_type", None)) in ("message-end", "stream-end")


def _noting(raise_for_response: Any) -> Any:
    """Remember the call behind the headers of a response that is looked at: they alone are passed on (Google)."""

    @wraps(raise_for_response)
    def raise_noted(cls: Any, response: Any) -> Any:
        _note(response)
        return raise_for_response.__func__(cls, response)

    return classmethod(raise_noted)


def _note(response: Any) -> None:
    try:
        call = call_of(response)
        if call is not None:
            _remember(response.headers, call)
    except Exception as error:  # noqa: BLE001 - fail open: the app gets its answer
        warn("sdk link", "An answer could not be given its result: %s", type(error).__name__)


class _Headers(dict[str, str]):
    """Headers that lead to their call; copies and pickles are plain dicts."""

    __slots__ = ("call",)

    def __init__(self, headers: dict[str, str], call: Call) -> None:
        super().__init__(headers)
        self.call = call

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return dict, (dict(self),)


def _carrying(init: Callable[..., Any]) -> Callable[..., Any]:
    """Make an object's headers lead to the call of those that it is made with (Google, inside)."""

    @wraps(init)
    def init_carrying(self: Any, headers: Any, *args: Any, **kwargs: Any) -> None:
        init(self, headers, *args, **kwargs)
        call = _remembered(headers)
        if call is not None:
            self.headers = _Headers(self.headers, call)

    return init_carrying


def _carried(init: Callable[..., Any]) -> Callable[..., Any]:
    """Link a model that is made with headers that lead to a call; one with a body hands them on (Google)."""

    @wraps(init)
    def init_linked(self: Any, /, **data: Any) -> None:
        init(self, **data)
        headers = data.get("headers")
        if isinstance(headers, _Headers):
            _remember(self, headers.call)
            if "body" in data:
                vars(self)["headers"] = headers

    return init_linked


def _interacting(unmarshal: Callable[..., Any]) -> Callable[..., Any]:
    """Link the interactions that a function of (type, response) makes, and a stream's events that hold one (Google)."""

    @wraps(unmarshal)
    def unmarshal_linked(typ: Any, http_res: Any, *args: Any, **kwargs: Any) -> Any:
        parsed = unmarshal(typ, http_res, *args, **kwargs)
        event = getattr(parsed, "data", None)
        if getattr(event, "event_type", None) is None:
            _link(parsed, http_res)
        elif (interaction := getattr(event, "interaction", None)) is not None:
            _link(event, http_res)
            _link(interaction, http_res)
        return parsed

    return unmarshal_linked


def _copying(model_copy: Callable[..., Any]) -> Callable[..., Any]:
    """Make a model's copies lead to the call that it leads to: the SDK adds what it sums up to a copy (Google)."""

    @wraps(model_copy)
    def copy_linked(self: Any, *args: Any, **kwargs: Any) -> Any:
        copied = model_copy(self, *args, **kwargs)
        call = _remembered(self)
        if call is not None:
            _remember(copied, call)
        return copied

    return copy_linked


def _remember(answer: Any, call: Call) -> None:
    key = id(answer)
    _links[key] = ref(answer, partial(_forget, key)), call


def _remembered(answer: Any) -> Call | None:
    living, call = _links.get(id(answer), _NO_LINK)
    return call if living is not None and living() is answer else None


def _link(parsed: Any, response: Any) -> None:
    """Remember the call behind an answer, without keeping the answer alive for it, and show its result there."""
    try:
        call = response.extensions.get(CALL_EXTENSION)
        if call is None or (type(parsed) not in _showing and not _show_in(type(parsed))):
            return
        key = id(parsed)
        _links[key] = ref(parsed, partial(_forget, key)), call
    except Exception as error:  # noqa: BLE001 - fail open: the app gets its answer
        warn("sdk link", "An answer could not be given its result: %s", type(error).__name__)


def _show_in(answers: type[Any]) -> bool:
    """Have the objects of a class show their results; return whether they can: they have attributes of their own."""
    if not answers.__dictoffset__:
        return False
    with _lock:
        if not hasattr(answers, ATTRIBUTE):
            setattr(answers, ATTRIBUTE, _looking_up(None))
            _shown.add(answers)
        if len(_showing) >= _MOST_SHOWING:
            _showing.clear()
        _showing.add(answers)
    return True


class _LookedUp:
    """Show a result on an SDK's class: its objects look as without us, and whoever sets that attribute has it."""

    def __get__(self, answer: Any, owner: type[Any]) -> Any:
        if answer is None:
            return self
        call = call_of(answer)
        if call is None or call.result is None:
            raise AttributeError(f"{owner.__name__!r} has no {ATTRIBUTE!r}: the result is not in")
        return call.result


def _looking_up(_: None) -> _LookedUp:
    return _LookedUp()


_INNER = ("sdk_http_response", "http_response", "response", "_response", "_raw_stream", "_raw_response")


def call_of(response: Any) -> Call | None:
    """Find the provider call behind an SDK's answer or stream, or a response of httpx, aiohttp or requests."""
    for _ in range(4):
        linked = _remembered(response)
        if linked is not None:
            return linked
        extensions = getattr(response, "extensions", None)
        if isinstance(extensions, dict) and isinstance(call := extensions.get(CALL_EXTENSION), Call):
            return call
        inner = None
        for attribute in _INNER:
            with suppress(Exception):
                inner = inner or getattr(response, attribute, None)
        if inner is None:
            return None
        response = inner
    return None


def _stainless(sdk: str, *streams: str) -> list[tuple[str, str, Callable[[Any], Any]]]:
    """Return the seams of an SDK that Stainless generated; `streams` are "module:class"."""
    classes = (
        ("_legacy_response", "LegacyAPIResponse"),
        ("_response", "APIResponse"),
        ("_response", "AsyncAPIResponse"),
    )
    parsers = [(f"{sdk}.{module}", f"{name}.parse", _parsing) for module, name in classes]
    own = [(sdk, f"{name}.{ATTRIBUTE}", _looking_up) for name in ("Stream", "AsyncStream")]
    helpers = [(module, f"{name}.{ATTRIBUTE}", _looking_up) for module, name in (s.split(":") for s in streams)]
    return [*parsers, *own, *helpers]


def _speakeasy(package: str, *modules: str) -> list[tuple[str, str, Callable[[Any], Any]]]:
    """Return the seams of an SDK that Speakeasy generated; `modules` are those of its resources."""
    return [
        *((f"{package}.{module}", "unmarshal_json_response", _unmarshalling) for module in modules),
        *(
            (f"{package}.utils.eventstreaming", f"{name}.{ATTRIBUTE}", _looking_up)
            for name in ("EventStream", "EventStreamAsync")
        ),
    ]


_SEAMS: dict[str, list[tuple[str, str, Callable[[Any], Any]]]] = {
    "openai": _stainless(
        "openai",
        "openai.lib.streaming.chat:ChatCompletionStream",
        "openai.lib.streaming.chat:AsyncChatCompletionStream",
        "openai.lib.streaming.responses:ResponseStream",
        "openai.lib.streaming.responses:AsyncResponseStream",
    ),
    "anthropic": _stainless(
        "anthropic",
        "anthropic:MessageStream",
        "anthropic:AsyncMessageStream",
        "anthropic.lib.streaming:BetaMessageStream",
        "anthropic.lib.streaming:BetaAsyncMessageStream",
    ),
    "groq": _stainless("groq"),
    "mistralai": [
        *_speakeasy(
            "mistralai.client",
            *("agents", "chat", "conversations", "embeddings", "fim", "ocr", "responses", "speech", "transcriptions"),
        ),
        *_speakeasy("mistralai.azure.client", "chat", "ocr"),
        *_speakeasy("mistralai.gcp.client", "chat", "fim"),
    ],
    "google.genai": [
        ("google.genai.errors", "APIError.raise_for_response", _noting),
        ("google.genai.errors", "APIError.raise_for_async_response", _noting),
        ("google.genai._api_client", "HttpResponse.__init__", _carrying),
        ("google.genai.types", "HttpResponse.__init__", _carried),
        ("google.genai._common", f"BaseModel.{ATTRIBUTE}", _looking_up),
        *(
            ("google.genai._gaos.utils.eventstreaming", f"{name}.{ATTRIBUTE}", _looking_up)
            for name in ("Stream", "AsyncStream")
        ),
        ("google.genai._gaos.interactions", "unmarshal_json_response", _interacting),
        ("google.genai._gaos.types.interactions.interaction", "Interaction.model_copy", _copying),
    ],
    "cohere": [
        ("cohere.core.http_response", f"{name}.__init__", _holding) for name in ("HttpResponse", "AsyncHttpResponse")
    ],
}
"""Where each SDK makes its answers and streams: (module, class and attribute, what to put there made from what is)."""
_pending = {name: list(seams) for name, seams in _SEAMS.items()}
