"""The recording of one provider call, without I/O: what a transport sees goes in, one exchange comes out.

Everything here runs on the app's thread, so it keeps references and leaves the reading to the delivering thread. It
never raises into the app. Whatever ends the call (the provider's last event, the end of the body, an error, `close()`,
a cancelled task, the garbage collector) hands the exchange over exactly once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from time import perf_counter
from typing import Protocol

from .annotations import NOTHING, Annotations, ReportMode, override
from .calls import Call
from .context import RequestScope, current_frame, process_defaults
from .log import warn
from .providers import Match, Reader, open_reader, recognise, tells_usage_if_asked
from .report import Timing

_KEPT_CONTENT = 1024 * 1024
"""Bytes of an answer that are kept where the app asked for prompts and answers to be reported."""
_KEPT_BODY = 4 * 1024 * 1024
"""Bytes of an answer that a reader keeps at most."""


class Owner(Protocol):
    """Who receives the exchanges of an app, and how the app wants its calls treated."""

    @property
    def providers(self) -> Mapping[str, tuple[str, str | None]]:
        """Custom hosts and the wire format they speak."""

    @property
    def report(self) -> ReportMode:
        """Whether an answer is held until its result is in."""

    @property
    def inline_timeout(self) -> float:
        """Seconds that an answer may be held."""

    @property
    def stream_usage(self) -> bool:
        """Whether streams that tell their usage only if asked are asked for it."""

    @property
    def available(self) -> bool:
        """Whether waiting for results makes sense: the last delivery did not fail."""

    def expect(self) -> None:
        """An exchange has begun: be ready for it, since a finaliser that ends it must not start anything."""

    def deliver(self, exchange: Exchange, *, finalising: bool) -> None:
        """Take a finished exchange. It is only queued here; when `finalising`, no lock may be taken."""


_default_owner: Callable[[], Owner | None] = lambda: None  # noqa: E731


def set_default_owner(find: Callable[[], Owner | None]) -> None:
    """Set who receives calls made outside the requests of any app."""
    global _default_owner
    _default_owner = find


class Exchange:
    """One provider call, from its request to the end of its response.

    Args:
        match: which provider and API it is.
        provider_uri: scheme, host and path.
        module: the SDK that makes the call, if it says.
        request: the request's body, if it is in memory.
        annotations: what the app put on the call itself.
    """

    __slots__ = (
        "__weakref__",
        "_begun",
        "_ended",
        "_first_completion",
        "_first_token",
        "_in_force",
        "_known",
        "_open",
        "_owner",
        "_started",
        "call",
        "call_annotations",
        "content",
        "content_encoding",
        "failure",
        "inline",
        "match",
        "module",
        "provider_uri",
        "queued_bytes",
        "reader",
        "received",
        "request",
        "scope",
        "status",
        "terminated",
    )

    def __init__(
        self,
        owner: Owner,
        match: Match,
        *,
        provider_uri: str,
        module: str | None,
        request: bytes | None,
        annotations: Annotations,
    ) -> None:
        self._owner = owner
        self.match = match
        self.provider_uri = provider_uri
        self.module = module
        self.request = request
        self.call_annotations = annotations
        frame = current_frame()
        self.scope: RequestScope | None = frame.scope if frame is not None else None
        self._in_force = frame.annotations if frame is not None else process_defaults
        self._known: Annotations | None = None
        self.call = Call()
        self.reader: Reader | None = None
        self.status: int | None = None
        self.failure: str | None = None
        self.terminated = False
        self.content: list[bytes] | None = None
        self.content_encoding: str | None = None
        self.received = 0
        self.queued_bytes = 0
        self._open = [True]
        self._first_token: float | None = None
        self._first_completion: float | None = None
        self._ended: float | None = None
        current = self.annotations
        if self.scope is None or self.scope.identified:
            self._known = current
        self.inline = (current.report or owner.report) == "inline"
        if current.log_prompt_and_response:
            self.content = []
        if current.proxy:
            warn("proxy", "proxy=True is not available in this version: the call goes to the provider directly")
        owner.expect()  # before the call is counted: were it to fail, nobody would ever settle that
        if self.scope is not None:
            self.scope.add(self.call)
        self._begun = datetime.now(UTC)
        self._started = perf_counter()

    @property
    def annotations(self) -> Annotations:
        """Whom the call is for: what was in force where and when it was made.

        Where an identity source could not be asked then (an async one, by a blocking call on the event loop), it is
        what is known by now.
        """
        return self._known or override(self._in_force(), self.call_annotations)

    @property
    def identified(self) -> bool:
        """Whether every identity source has been asked, or will not be asked any more."""
        return self._known is not None or self.scope is None or self.scope.identified

    @property
    def timing(self) -> Timing:
        """When the call began and how long its parts took."""
        return Timing(
            self._begun,
            end_to_end_ms=self._milliseconds(self._ended),
            first_token_ms=self._milliseconds(self._first_token),
            first_completion_ms=self._milliseconds(self._first_completion),
        )

    def _milliseconds(self, moment: float | None) -> int | None:
        return None if moment is None else round((moment - self._started) * 1000)

    @property
    def may_ask_for_usage(self) -> bool:
        """Whether the request may be changed so that its stream tells its usage."""
        return self._owner.stream_usage and tells_usage_if_asked(self.match)

    @property
    def open(self) -> bool:
        """Whether the response is still coming in."""
        return bool(self._open)

    def respond(self, status: int, headers: Mapping[str, str], *, decoded: bool = False) -> bool:
        """Take the response's status and headers.

        Args:
            decoded: the body will be fed without its content encoding.

        Returns:
            False if this is no answer of the provider, such as a redirect, and is not recorded any further.
        """
        if 300 <= status < 400:
            self.discard()
            return False
        self.status = status
        if decoded:
            headers = {name.lower(): value for name, value in headers.items() if name.lower() != "content-encoding"}
        self.content_encoding = headers.get("content-encoding")
        self.reader = open_reader(self.match, status, headers)
        return True

    def feed(self, chunk: bytes) -> bool:
        """Take a piece of the response's raw body.

        Returns:
            True if it held the provider's last event, so that the exchange is complete.
        """
        reader = self.reader
        if reader is None or not self._open:
            return False
        terminal = reader.feed(chunk)
        if self._first_completion is None:
            if self._first_token is None and reader.first_token:
                self._first_token = perf_counter()
            if reader.first_completion:
                self._first_completion = perf_counter()
        self.received += len(chunk)
        if self.content is not None and self.received <= _KEPT_CONTENT:
            self.content.append(chunk)
        if terminal:
            self.finish(complete=True)
        return terminal

    @property
    def size(self) -> int:
        """Bytes that this exchange keeps in memory, about."""
        return len(self.request or b"") + min(self.received, _KEPT_BODY)

    def fail(self, error: BaseException) -> None:
        """End the exchange because the client failed."""
        if self._open:
            self.failure = type(error).__name__  # its text may quote keys: a header with a line break
        self.finish()

    def finish(self, *, complete: bool = False, finalising: bool = False) -> None:
        """End the exchange and hand it over; only the first call does anything.

        Args:
            complete: the provider has said everything, as opposed to the app having stopped listening.
            finalising: the garbage collector calls, on any thread, maybe one that holds a lock of ours.
        """
        try:
            self._open.pop()
        except IndexError:
            return
        self.terminated = complete
        self._ended = perf_counter()
        self.call.due = True
        self._owner.deliver(self, finalising=finalising)

    def discard(self) -> None:
        """End the exchange without a report: it was no inference."""
        if self._open:
            self._open.clear()
            self.withdraw()

    def withdraw(self) -> None:
        """Take the call back from the request that made it: it has nothing to report."""
        if self.scope is not None:
            self.scope.remove(self.call)
        self.call.settle(None)

    @property
    def held_for(self) -> float:
        """Seconds that the answer may be held until its result is in."""
        return self._owner.inline_timeout if self.inline and self.identified and self._owner.available else 0.0


def settle_identity() -> None:
    """Ask who makes the request being served, as far as that needs no event loop."""
    frame = current_frame()
    if frame is not None:
        try:
            frame.scope.settle_identity()
        except Exception as error:  # noqa: BLE001 - fail open
            warn("identity", "The identity of a request could not be read: %s", type(error).__name__)


async def asettle_identity() -> None:
    """Ask who makes the request being served."""
    frame = current_frame()
    if frame is not None:
        try:
            await frame.scope.asettle_identity()
        except Exception as error:  # noqa: BLE001 - fail open
            warn("identity", "The identity of a request could not be read: %s", type(error).__name__)


def begin(
    method: str,
    scheme: str,
    host: str,
    port: int | None,
    path: str,
    headers: Mapping[str, str],
    body: bytes | None,
    annotations: Annotations = NOTHING,
) -> Exchange | None:
    """Begin to record a provider call; None if the request is not one, or if nobody wants to know.

    Args:
        headers: the request's headers, looked up by lower-case names.
        body: the request's body, or None where it is not in memory.
        annotations: what the app put on the call itself.
    """
    owner = current_owner()
    if owner is None:
        return None
    match = recognise(method, host, port, path, headers, owner.providers)
    if match is None:
        return None
    return Exchange(
        owner,
        match,
        provider_uri=f"{scheme}://{host}{'' if port is None else f':{port}'}{path}",
        module=_module(headers.get("user-agent")),
        request=body,
        annotations=annotations,
    )


def current_owner() -> Owner | None:
    """Return who receives the calls made here: the app whose request is being served, else the process's default."""
    frame = current_frame()
    owner: Owner | None = frame.scope.owner if frame is not None else None
    return owner if owner is not None else _default_owner()


def _module(user_agent: str | None) -> str | None:
    """Read `openai/3.54.0` out of `AsyncOpenAI/Python 3.54.0`, as the vendors' generated SDKs announce themselves."""
    name, found, version = (user_agent or "").partition("/Python ")
    return f"{name.removeprefix('Async').lower()}/{version.split()[0]}" if found and version.strip() else None
