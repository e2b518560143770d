"""The request scope and the layers of annotations inside it, carried by OpenTelemetry's context.

What travels in the context is one frozen-in-place frame: a layer of annotations, the frame around it, and a
reference to the request scope. The scope is one mutable object shared by everything that serves the request: a value
set again below a `def` handler or a `BaseHTTPMiddleware` would be invisible above it, a shared object is not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from uuid import uuid4

from opentelemetry.context import attach, create_key, get_current, set_value

from .annotations import FIELDS, NOTHING, USE_CASE_FIELDS, Annotations, inherit
from .calls import Call
from .identification import Identification, OfThePast
from .results import Summary, XproxyResult
from .tally import Tally

_KEY = create_key("payi-frame")
_defaults = NOTHING


def set_process_defaults(annotations: Annotations) -> None:
    """Set what calls outside any web request are annotated with."""
    global _defaults
    _defaults = annotations


def process_defaults() -> Annotations:
    """Return what calls outside any web request are annotated with."""
    return _defaults


_NOT_ANNOTATED = (NOTHING, NOTHING)


class RequestScope:
    """Everything that belongs to one web request, from its first byte to the end of its body and background tasks.

    Args:
        defaults: what the request is annotated with unless something more specific says otherwise; None follows the
            process's defaults.
        owner: who made this scope and receives the exchanges recorded in it; opaque here.
    """

    # There is one for each request, and what each refers to is looked at again and again by the garbage collector: no
    # list, lock or tuple is made before there is something to put into it.

    __slots__ = (
        "__weakref__",
        "_annotated",
        "_cache",
        "_defaults",
        "_made_up",
        "_parked",
        "closed",
        "identifications",
        "last_result",
        "owner",
        "tally",
    )

    def __init__(self, defaults: Annotations | None = None, *, owner: Any = None) -> None:
        self._defaults = defaults
        self.owner = owner
        self.closed = False
        self._parked: list[Callable[[], None]] | None = None
        self.identifications: list[Identification] = []
        self.last_result: XproxyResult | None = None
        self._cache: tuple[tuple[Annotations, ...], Annotations] | None = None
        self._annotated = _NOT_ANNOTATED
        self._made_up: str | None = None
        self.tally = Tally()

    def annotate(self, layer: Annotations = NOTHING, /, **annotations: Any) -> None:
        """Amend the request: what is named here wins over the identity sources.

        Args:
            layer: what to amend, as a value;
            **annotations: or as the fields of `Annotations`.
        """
        layer = Annotations(**annotations) if annotations else layer
        with self.tally.lock:
            if layer.use_case_name and layer.use_case_name != self._annotated[1].use_case_name:
                self._made_up = None
            self._annotated = _amended(*self._annotated, layer)

    def annotations(self) -> Annotations:
        """What the request as a whole is annotated with at this moment."""
        defaults = _defaults if self._defaults is None else self._defaults
        if defaults is NOTHING and self._annotated is _NOT_ANNOTATED:
            for identification in self.identifications:
                if identification.annotations is not NOTHING:
                    break
            else:
                return NOTHING
        layers = (defaults, *[identification.annotations for identification in self.identifications], *self._annotated)
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

    @property
    def asker(self) -> tuple[str | None, str | None]:
        """Who makes the request, as its identity sources and `annotate` say: user id and account name.

        The settings' defaults are nobody in particular.
        """
        layers = (*[identification.annotations for identification in self.identifications], *self._annotated)
        user_ids = [layer.user_id for layer in layers if layer.user_id is not None]
        accounts = [layer.account_name for layer in layers if layer.account_name is not None]
        return (user_ids[-1] or None if user_ids else None), (accounts[-1] or None if accounts else None)

    @property
    def identified(self) -> bool:
        """Whether every identity source has been asked, or the request is over and none will be asked any more."""
        if not self.closed:
            for identification in self.identifications:
                if identification.pending:
                    return False
        return True

    def settle_identity(self) -> None:
        """Ask the identity sources that can be asked from here without waiting on an event loop."""
        for identification in self.identifications:
            identification.settle()
        if self._parked:
            self._unpark()

    def settle_identity_at_once(self) -> bool:
        """Ask all identity sources, if none has to be waited for; return whether that was done."""
        for identification in self.identifications:
            if not identification.settle_at_once():
                return False
        if self._parked:
            self._unpark()
        return True

    async def asettle_identity(self) -> None:
        """Ask all identity sources."""
        for identification in self.identifications:
            await identification.asettle()
        if self._parked:
            self._unpark()

    def when_identified(self, resume: Callable[[], None]) -> None:
        """Run `resume` once every identity source has been asked, at the latest when the request is over."""
        with self.tally.lock:
            if self._parked is None:
                self._parked = []
        self._parked.append(resume)
        self._unpark()

    def close(self) -> None:
        """End the request: nobody else will be asked who made it."""
        over, self.closed = self.closed, True
        if self._parked:
            self._unpark()
        if not over:
            self.identifications = [OfThePast(identification) for identification in self.identifications]

    def _unpark(self) -> None:
        while (parked := self._parked) and self.identified:
            with suppress(IndexError):
                parked.pop()()

    def add(self, call: Call) -> None:
        """Count a provider call as this request's."""
        self.tally.add(call)

    def remove(self, call: Call) -> None:
        """Take back a call that turned out to be none."""
        self.tally.remove(call)

    @property
    def due(self) -> list[Call]:
        """The calls that have ended and whose results are not in; a stream that is still read is not among them."""
        return self.tally.due

    def summary(self, *, streaming: bool = False) -> Summary:
        """Add up what is known of this request's provider calls.

        Args:
            streaming: the response's body may still make calls, so that nothing is final.
        """
        return self.tally.summary(streaming=streaming)


def _amended(taken: Annotations, given: Annotations, layer: Annotations) -> tuple[Annotations, Annotations]:
    """Add a layer to a pair of layers that have the effect of all before it, so that amending does not pile up.

    Args:
        taken: what was taken away; empty values only.
        given: what was named since.
        layer: what is amended now.
    """
    removals, values, amended = _named(taken), _named(given), _named(layer)
    if layer.use_case_name == "":
        for name in USE_CASE_FIELDS:  # all of it goes, and nothing of it can be named along with that
            values.pop(name, None)
            amended.pop(name, None)
        removals["use_case_name"] = ""
    for name, value in amended.items():
        if value in ("", (), {}):
            removals[name] = value
            values.pop(name, None)
        elif isinstance(value, tuple):
            values[name] = (*values.get(name, ()), *value)
        elif isinstance(value, Mapping):
            values[name] = {**values.get(name, {}), **value}
        else:
            if name == "use_case_name" and value != values.get(name):
                values.pop("use_case_id", None)  # it was the other use case's
            values[name] = value
    return Annotations(**removals), Annotations(**values)


def _named(layer: Annotations) -> dict[str, Any]:
    return {name: value for name in FIELDS if (value := getattr(layer, name)) is not None}


class Frame:
    """One layer of annotations in force, and what it stands on."""

    __slots__ = ("_cache", "_identifications", "_made_up", "layer", "parent", "scope")

    def __init__(self, scope: RequestScope, layer: Annotations = NOTHING, parent: Frame | None = None) -> None:
        self.scope = scope
        self.layer = layer
        self.parent = parent
        self._identifications = scope.identifications  # kept alive for calls that are made when the request is over
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


class InForce:
    """A frame that was put in force, and what was put in force before it: an immutable stack, one in each context.

    Args:
        frame: the frame.
        below: what is in force without it.
        binding: what it is told by when it is to be taken off, also where another entry has taken its place since
            something below it was taken off.
    """

    __slots__ = ("below", "binding", "frame")

    def __init__(self, frame: Frame | None, below: InForce | None = None, binding: object = None) -> None:
        self.frame = frame
        self.below = below
        self.binding = binding

    def take_off(self) -> None:
        """Take it off this context's stack: see `bind`."""
        context = get_current()
        entry = context.get(_KEY)
        if entry is self:
            attach(set_value(_KEY, self.below, context))
            return
        if not isinstance(entry, InForce):
            return
        above: list[InForce] = []
        while entry is not None and entry.binding is not self.binding:
            above.append(entry)
            entry = entry.below
        if entry is None:
            return
        rest = entry.below
        for kept in reversed(above):
            rest = InForce(kept.frame, rest, kept.binding)
        attach(set_value(_KEY, rest, context))


def _top() -> InForce | None:
    entry = get_current().get(_KEY)
    return entry if isinstance(entry, InForce) else None


def current_frame() -> Frame | None:
    """Return the frame in force here, or None outside any request and any `track_context`."""
    entry = get_current().get(_KEY)
    return entry.frame if isinstance(entry, InForce) else None


def swap(inside: InForce | None) -> InForce | None:
    """Put a stack in force and return the one that was: for code that is run in steps within somebody else's context.

    What the code left in force at the end of a step, say by a `track_context` around a `yield`, is put in force again
    at the beginning of the next.
    """
    outside = _top()
    attach(set_value(_KEY, inside))
    return outside


def put_in_force(frame: Frame | None) -> InForce:
    """Put a frame in force, and return what takes it off again: see `bind`."""
    context = get_current()
    below = context.get(_KEY)
    entry = InForce(frame, below if isinstance(below, InForce) else None, object())
    attach(set_value(_KEY, entry, context))
    return entry


def bind(frame: Frame | None) -> Callable[[], None]:
    """Put a frame in force and return how to take it off again.

    It is taken off this context's stack, not by resetting a token: streaming bodies and async generators end in
    another context than the one they began in, where a token is refused. There, nothing is done. Nor need the last
    one come off first: two generators that hold a block each end in any order, and what is left stays in force.
    """
    return put_in_force(frame).take_off
