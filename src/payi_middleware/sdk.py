"""Results where the code is: `xproxy_result` on the objects that the providers' SDKs hand out.

The openai and anthropic SDKs are made by one generator and have the same shape. A plain answer is found where the SDK
parses a response, and is held weakly until its result is in; a stream looks the result up when it is asked for.
"""

from __future__ import annotations

import inspect
import sys
import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import partial, wraps
from typing import Any

from .calls import Call
from .log import warn
from .transport import CALL_EXTENSION

ATTRIBUTE = "xproxy_result"

_PARSERS = {
    "openai": (
        ("openai._legacy_response", "LegacyAPIResponse"),
        ("openai._response", "APIResponse"),
        ("openai._response", "AsyncAPIResponse"),
    ),
    "anthropic": (
        ("anthropic._response", "APIResponse"),
        ("anthropic._response", "AsyncAPIResponse"),
        ("anthropic._legacy_response", "LegacyAPIResponse"),
    ),
}
_STREAMS = {
    "openai": (
        ("openai", "Stream"),
        ("openai", "AsyncStream"),
        ("openai.lib.streaming.chat", "ChatCompletionStream"),
        ("openai.lib.streaming.chat", "AsyncChatCompletionStream"),
        ("openai.lib.streaming.responses", "ResponseStream"),
        ("openai.lib.streaming.responses", "AsyncResponseStream"),
    ),
    "anthropic": (
        ("anthropic", "Stream"),
        ("anthropic", "AsyncStream"),
        ("anthropic", "MessageStream"),
        ("anthropic", "AsyncMessageStream"),
        ("anthropic.lib.streaming", "BetaMessageStream"),
        ("anthropic.lib.streaming", "BetaAsyncMessageStream"),
    ),
}
_calls: dict[int, tuple[weakref.ref[Any], Call]] = {}
"""The call behind each plain answer that is alive, by identity: an SDK's models cannot be hashed, and an attribute of
ours on them would be pickled along with them."""
_done: set[str] = set()
_undo: list[Callable[[], None]] = []


def hook_loaded_sdks() -> None:
    """Hook the SDKs that were imported since the last time; cheap enough to be called for each provider call."""
    for name in _PARSERS:
        if name not in _done and name in sys.modules:
            _done.add(name)
            _hook(name)


def unhook_sdks() -> None:
    """Undo exactly what `hook_loaded_sdks()` did."""
    while _undo:
        _undo.pop()()
    _done.clear()


def _hook(name: str) -> None:
    try:
        for module, class_name in _PARSERS[name]:
            if (cls := getattr(sys.modules.get(module), class_name, None)) is not None:
                _replace(cls, "parse", _linking(cls.parse))
        for module, class_name in _STREAMS[name]:
            cls = getattr(sys.modules.get(module), class_name, None)
            if cls is not None and not hasattr(cls, ATTRIBUTE):
                _replace(cls, ATTRIBUTE, property(_result_of_stream))
    except Exception as error:  # noqa: BLE001 - an unknown version of the SDK: results stay reachable otherwise
        warn(f"sdk {name}", "The %s SDK could not be given results: %s", name, type(error).__name__)


def _replace(cls: type[Any], attribute: str, value: Any) -> None:
    inherited = attribute not in vars(cls)
    original = getattr(cls, attribute, None)
    setattr(cls, attribute, value)
    _undo.append(partial(delattr, cls, attribute) if inherited else partial(setattr, cls, attribute, original))


def _linking(parse: Callable[..., Any]) -> Callable[..., Any]:
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


def _link(parsed: Any, response: Any) -> None:
    """Have the result put on a parsed answer as soon as it is in, without keeping the answer alive for it."""
    try:
        call = response.extensions.get(CALL_EXTENSION)
        if call is None or hasattr(type(parsed), ATTRIBUTE) or not hasattr(parsed, "__dict__"):
            return
        key = id(parsed)
        reference = weakref.ref(parsed, lambda _: _calls.pop(key, None))
        _calls[key] = (reference, call)
        call.on_settled(partial(_put, reference, call))
    except Exception as error:  # noqa: BLE001 - fail open: the app gets its answer
        warn("sdk link", "An answer could not be given its result: %s", type(error).__name__)


def _put(reference: weakref.ref[Any], call: Call) -> None:
    parsed = reference()
    if parsed is not None and call.result is not None:
        object.__setattr__(parsed, ATTRIBUTE, call.result)


def _result_of_stream(stream: Any) -> Any:
    call = call_of(stream)
    if call is None or call.result is None:
        raise AttributeError(f"{type(stream).__name__!r} has no {ATTRIBUTE!r}: the result is not in")
    return call.result


def call_of(response: Any) -> Call | None:
    """Find the provider call behind an SDK's answer or stream, or an httpx response."""
    for _ in range(4):
        linked = _calls.get(id(response))
        if linked is not None and linked[0]() is response:
            return linked[1]
        extensions = getattr(response, "extensions", None)
        if isinstance(extensions, dict) and isinstance(call := extensions.get(CALL_EXTENSION), Call):
            return call
        inner = None
        for attribute in ("http_response", "response", "_response", "_raw_stream", "_raw_response"):
            with suppress(Exception):
                inner = inner or getattr(response, attribute, None)
        if inner is None:
            return None
        response = inner
    return None
