"""The request scope and the layers of annotations inside it, carried by OpenTelemetry's context.

What travels in the context is one frozen-in-place frame: a layer of annotations, the frame around it, and a
reference to the request scope. The scope is one mutable object shared by everything that serves the request: a value
set again below a `def` handler or a `BaseHTTPMiddleware` would be invisible above it, a shared object is not.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol
from uuid import uuid4

from opentelemetry.context import attach, create_key, get_current, set_value

from .annotations import NOTHING, Annotations, inherit
from .calls import Call
from .results import Summary, XproxyResult, summarise

_KEY = create_key("payi-frame")
_KEPT_CALLS = 128
"""Calls of one request that are kept singly; a long-lived websocket's older ones are folded into totals."""

_defaults = NOTHING


def set_process_defaults(annotations: Annotations) -> None:
    """Set what calls outside any web request are annotated with."""
    global _defaults
    _defaults = annotations


class Identification(Protocol):
    """Who asked, as far as it is known by now."""

    @property
    def annotations(self) -> Annotations:
        """What the identity sources have said up to now."""

    def settle(self) -> None:
        """Ask the sources that can be asked from here without waiting on an event loop."""


class RequestScope:
    """Everything that belongs to one web request, from its first byte to the end of its body and background tasks.

    Args:
        defaults: what the request is annotated with unless something more specific says otherwise; None follows the
            process's defaults.
        owner: who made this scope and delivers its reports; opaque here.
        wants_results: whether somebody will read the results of this request's calls.
    """

    __slots__ = (
        "__weakref__",
        "_annotated",
        "_cache",
        "_calls",
        "_defaults",
        "_earlier",
        "_earlier_calls",
        "_lock",
        "_made_up",
        "identifications",
        "last_result",
        "owner",
        "streaming",
        "wants_results",
    )

    def __init__(
        self, defaults: Annotations | None = None, *, owner: object = None, wants_results: bool = False
    ) -> None:
        self._defaults = defaults
        self.owner = owner
        self.wants_results = wants_results
        self.identifications: list[Identification] = []
        self.last_result: XproxyResult | None = None
        self.streaming = False
        self._cache: tuple[tuple[Annotations, ...], Annotations] | None = None
        self._annotated = NOTHING
        self._made_up: str | None = None
        self._calls: list[Call] = []
        self._earlier: Summary | None = None
        self._earlier_calls = 0
        self._lock = threading.Lock()

    def annotate(self, layer: Annotations) -> None:
        """Amend the request: what is named here wins over the identity sources."""
        with self._lock:
            if layer.use_case_name and layer.use_case_name != self._annotated.use_case_name:
                self._made_up = None
            self._annotated = _stack(self._annotated, layer)

    def annotations(self) -> Annotations:
        """What the request as a whole is annotated with at this moment."""
        defaults = _defaults if self._defaults is None else self._defaults
        layers = (defaults, *[identification.annotations for identification in self.identifications], self._annotated)
        if self._cache is None or self._cache[0] != layers:
            result = NOTHING
            for layer in layers:
                result = inherit(result, layer, self._use_case_id)
            self._cache = (layers, result)
        return self._cache[1]

    def _use_case_id(self) -> str:
        if self._made_up is None:
            self._made_up = str(uuid4())
        return self._made_up

    def add(self, call: Call) -> None:
        """Count a provider call as this request's."""
        self._calls.append(call)
        if len(self._calls) > _KEPT_CALLS:
            self._fold()

    def _fold(self) -> None:
        with self._lock:
            settled = [call for call in self._calls if call.settled]
            self._earlier = summarise(
                self._earlier_calls + len(settled), [call.result for call in settled], before=self._earlier
            )
            self._earlier_calls += len(settled)
            for call in settled:
                self._calls.remove(call)

    @property
    def calls(self) -> list[Call]:
        """The provider calls that are kept singly, oldest first."""
        return list(self._calls)

    def summary(self) -> Summary:
        """Add up what is known of this request's provider calls."""
        with self._lock:
            calls = list(self._calls)
            return summarise(
                self._earlier_calls + len(calls),
                [call.result for call in calls],
                streaming=self.streaming,
                before=self._earlier,
            )


def _stack(lower: Annotations, upper: Annotations) -> Annotations:
    """Join two layers into one layer that has the effect of both; unlike a result, a layer keeps its empty values."""
    values = {name: getattr(lower, name) for name in Annotations.__dataclass_fields__}
    for name in Annotations.__dataclass_fields__:
        value = getattr(upper, name)
        if value is None:
            continue
        below = values[name]
        if below and isinstance(value, tuple) and value:
            value = (*below, *value)
        elif below and value and hasattr(value, "items"):
            value = {**below, **value}
        values[name] = value
    return Annotations(**values)


class Frame:
    """One layer of annotations in force, and what it stands on."""

    __slots__ = ("_cache", "_made_up", "layer", "parent", "scope")

    def __init__(self, scope: RequestScope, layer: Annotations = NOTHING, parent: Frame | None = None) -> None:
        self.scope = scope
        self.layer = layer
        self.parent = parent
        self._made_up: str | None = None
        self._cache: tuple[Annotations, Annotations] | None = None

    def annotations(self) -> Annotations:
        """What is in force here, the request's own annotations included as they stand now."""
        below = self.scope.annotations() if self.parent is None else self.parent.annotations()
        if self.layer is NOTHING:
            return below
        if self._cache is None or self._cache[0] is not below:
            self._cache = (below, inherit(below, self.layer, self._use_case_id))
        return self._cache[1]

    def _use_case_id(self) -> str:
        if self._made_up is None:
            self._made_up = str(uuid4())
        return self._made_up


def current_frame() -> Frame | None:
    """Return the frame in force here, or None outside any request and any `track_context`."""
    frame = get_current().get(_KEY)
    return frame if isinstance(frame, Frame) else None


def bind(frame: Frame | None) -> Callable[[], None]:
    """Put a frame in force and return how to take it off again.

    It is taken off by putting back what was there before, not by resetting a token: streaming bodies and async
    generators end in another context than the one they began in, where a token is refused. There, nothing is done.
    """
    previous = current_frame()
    attach(set_value(_KEY, frame))

    def unbind() -> None:
        if current_frame() is frame:
            attach(set_value(_KEY, previous))

    return unbind
