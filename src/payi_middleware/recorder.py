"""The recording of one provider call, without I/O: what a transport sees goes in, one exchange comes out.

Everything here runs on the app's thread, so it keeps references and leaves the reading to the delivering thread. It
never raises into the app. Whatever ends the call (the provider's last event, the end of the body, an error, `close()`,
a cancelled task, the garbage collector) hands the exchange over exactly once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter, time_ns
from typing import Any
from weakref import ref

from .annotations import NOTHING, Annotations, override
from .calls import Call
from .context import Frame, process_defaults
from .forks import after_fork
from .holding import Holding
from .kinds import Kind
from .limits.refusal import BLOCKED_PROPERTY, CODE, Refusal
from .owner import Admission
from .owner import Owner as AnyOwner
from .providers import MOST_HELD, PLAIN, READ_HEADERS, Answer, Asked, Match, Reader, open_reader, tells_usage_if_asked
from .raw_headers import listed
from .report import Timing
from .results import XproxyResult
from .unfinished import Stream, forget, remember

_KEPT_CONTENT = 1024 * 1024
"""Bytes of an answer that are kept where the app asked for prompts and answers to be reported."""
_KEPT_BODY = 4 * 1024 * 1024
"""Bytes of an answer that a reader keeps at most."""
_LATEST = 1024
"""Bytes of an answer after which it is known whether it is a stream."""

_READ = frozenset(READ_HEADERS)

Owner = AnyOwner["Exchange"]
"""Who receives the exchanges of an app."""


class Exchange(Holding):
    """One provider call, from its request to the end of its response.

    Args:
        kind: what it has in common with others.
        frame: what is in force where it is made.
        request: the request's body, if it is in memory.
        annotations: what the app put on the call itself.

    `begun` is when it began, in seconds since 1970; `started`, `ended`, `first_token` and `first_completion` are of
    another clock (see `Timing.of`), and `open` says whether its response is still coming in. `hindered` says that a
    limit may have something to say to it, or that it may go through Pay-i's proxy; `limited` that a limit waits for its
    result, and `wanted` that anybody may; `model_instead` which model is to be asked for in place of its own; `skips`
    that pieces of its answer which say nothing need not be fed; `blocks` that a limit of type block is in force,
    `let_pass` that it is made in spite of one, and `passage` how it goes through Pay-i's proxy, if it does.
    `told` are the headers of a plain answer, of which no more than the piece `first` has come, as long as it is unread.
    Whoever it is handed to keeps in `asked` and `answer` what request and reader said, in `ticket` where the call is on
    record already, and in `fallback_id` the id that it is reported with where the provider gives none.
    """

    # There is one for each call. What is in slots is found at its place; what is the class's, until it is set, would be
    # looked for by its name each time, in memory that the app's own work has driven out of the core's caches since.
    __slots__ = (
        "__dict__", "__weakref__", "_claim", "_frame", "_generation", "_owner", "_reader", "_stream", "answer", "asked",
        "begun", "call_annotations", "content", "ended", "failure", "fallback_id",
        "first", "first_completion", "first_token", "hindered", "inline", "kind", "known",
        "open", "passage", "queued_bytes", "received", "request", "skips",
        "started", "status", "terminated", "ticket", "told", "wanted",
    )  # fmt: skip

    _stream: ref[Stream] | None
    answer: Answer | None
    asked: Asked | None
    content: list[bytes] | None
    failure: str | None
    fallback_id: str | None
    first: bytes | None
    passage: Any
    queued_bytes: int
    _reader: Reader | None
    told: dict[str, str] | None
    status: int | None
    ticket: object

    # What few calls have is looked for in no plain one.
    content_encoding: str | None = None
    model_instead: str | None = None
    blocks = let_pass = limited = False

    def __init__(
        self,
        owner: Owner,
        kind: Kind,
        frame: Frame | None,
        request: bytes | None,
        annotations: Annotations = NOTHING,
    ) -> None:
        self._owner = owner
        self.kind = kind
        self.request = request
        self.call_annotations = annotations
        self.told = self.first = self._reader = self.status = self.failure = self.content = self.passage = None
        self._stream = self.asked = self.answer = self.ticket = self.fallback_id = self._call_ref = None
        self.first_token = self.first_completion = self.ended = 0.0  # until they have come
        self.received = 0
        self.open = True
        self.skips = False
        self._call = call = Call()
        self._claim = bytearray(1)  # whoever takes the byte ends it; a list would be looked through for references
        self._frame = frame
        if frame is None:
            self._scope = scope = None
            current = process_defaults()
        else:
            self._scope = scope = frame.scope
            current = frame.annotations()
        if annotations is not NOTHING:
            current = override(current, annotations)
        self.known = current if scope is None or scope.identified else None
        self.inline = inline = (current.report or owner.report) == "inline"
        # Outside of requests nobody is told unasked; who asks says so: see `result_of`.
        self.wanted = inline or (scope is not None and owner.tells_results)
        self.hindered = owner.expect(current)  # before it is counted: were it to fail, nobody would ever settle that
        if current.log_prompt_and_response:
            self.content = []
        self._generation = _generation
        if scope is not None:
            scope.tally.add(call)
        self.begun = time_ns() // 1000 / 1e6  # whole microseconds, as reports tell them
        self.started = perf_counter()

    @property
    def match(self) -> Match:
        """Which provider and API it is."""
        return self.kind.match

    def _current(self) -> Annotations:
        frame, own = self._frame, self.call_annotations
        below = process_defaults() if frame is None else frame.annotations()
        return below if own is NOTHING else override(below, own)

    def wait_lightly(self, *, on_record: bool) -> bool:
        """Keep no more alive from here on than what a report is made of and whoever waits for its result.

        Args:
            on_record: what was said is to be had of the record; what waits takes no memory that the app has at hand.

        Returns:
            Whether it keeps neither request nor answer.
        """
        if on_record:
            self.told = self.first = self._reader = None
        light = False
        if self.asked is not None and self.content is None and self.passage is None:
            self.request = None
            light = on_record and self.answer is None
        if self.known is not None and not self.wanted:  # it is known whom the call is for
            call, scope = self._call, self._scope
            if call is not None:
                if scope is not None:
                    call.made_in = ref(scope)
                self._call_ref = ref(call)
            self._call = self._scope = self._frame = None
        return light

    @property
    def annotations(self) -> Annotations:
        """Whom the call is for: what was in force where and when it was made.

        Where an identity source could not be asked then (an async one, by a blocking call on the event loop), it is
        what is known by now.
        """
        return self.known or self._current()

    @property
    def identified(self) -> bool:
        """Whether every identity source has been asked, or will not be asked any more."""
        return self.known is not None or self.scope is None or self.scope.identified

    @property
    def recorded(self) -> float:
        """When it ended, in seconds since 1970."""
        return self.begun + (self.ended or perf_counter()) - self.started

    @property
    def timing(self) -> Timing:
        """When the call began and how long its parts took."""
        return Timing.of(self.begun, self.started, self.ended, self.first_token, self.first_completion)

    def may_ask_for_usage(self, query: str) -> bool:
        """Return whether the request, which has this query, may be changed so that its stream tells its usage."""
        return self._owner.stream_usage and tells_usage_if_asked(self.match, self.kind.provider_uri, query)

    def respond(self, status: int, headers: Mapping[str, str], *, decoded: bool = False) -> Call | None:
        """Take the response's status and headers.

        Args:
            decoded: the body will be fed without its content encoding.

        Returns:
            The call; None if this is no answer of the provider, such as a redirect, and is not recorded any further.
        """
        if 300 <= status < 400:
            self.discard()
            return None
        self.status = status
        names, rows = listed(headers)
        told = {}
        for name in _READ.intersection(names):
            told[READ_HEADERS[name]] = rows[names.index(name)][2].decode("latin-1")
        if "content-encoding" in told:
            if decoded:
                del told["content-encoding"]
            else:
                self.content_encoding = told["content-encoding"]
        if self.kind.plain and told.get("content-type") == PLAIN:
            self.told = told
        else:
            self._reader = reader = open_reader(self.kind.match, status, told)
            if not reader.keeps and reader.streams:
                self._stream = remember(self)
        return self._call or self.call

    def feed(self, chunk: bytes) -> bool:
        """Take a piece of the response's raw body.

        Returns:
            True if it held the provider's last event, so that the exchange is complete.
        """
        if not self.open:
            return False
        reader = self._reader
        if reader is None:
            if self.told is None:
                return False
            if self.first is None and len(chunk) < MOST_HELD and chunk.startswith(b"{"):
                self.first = chunk
                if self.content is not None:
                    self.content.append(chunk)
                return False
            reader = self._read()
        terminal = reader.feed(chunk)
        self.received += len(chunk)
        if self.content is not None and self.received <= _KEPT_CONTENT:
            self.content.append(chunk)
        if reader.keeps:  # nothing can be told yet, as of any answer that is no stream
            return False
        if not self.first_completion:
            if reader.first_token and not self.first_token:
                self.first_token = perf_counter()
            if reader.first_completion:
                self.first_completion = perf_counter()
                self.skips = self.content is None and reader.learns
        if self.received - len(chunk) < _LATEST and self._stream is None and reader.streams:  # it had not said so
            self._stream = remember(self)
        if terminal:
            self.finish(complete=True)
        return terminal

    @property
    def says_nothing(self) -> Callable[[bytes], bool] | None:
        """What tells whether the next piece says nothing, if it `skips` such pieces: see `Reader`."""
        return None if self._reader is None else self._reader.says_nothing

    @property
    def reader(self) -> Reader | None:
        """Who reads the response, if it has begun and was not let go of."""
        return self._reader if self.told is None else self._read()

    def _read(self) -> Reader:
        """Begin to read what was kept unread."""
        assert self.told is not None
        assert self.status is not None
        self._reader = reader = open_reader(self.kind.match, self.status, self.told)
        if self.first is not None:
            reader.feed(self.first)
            self.received = len(self.first)
        self.told = self.first = None
        return reader

    @property
    def is_left_to_record(self) -> bool:
        """Whether only the record has what the provider answered."""
        return self.answer is None and self._reader is None and self.told is None and type(self.ticket) is int

    @property
    def size(self) -> int:
        """Bytes that this exchange keeps in memory, about."""
        answered = 0 if self.is_left_to_record else len(self.first or b"") or min(self.received, _KEPT_BODY)
        return len(self.request or b"") + answered

    def let_go(self) -> None:
        """Free what was read: a report may wait for an hour, and the bodies need not."""
        self.request = self.told = self.first = self._reader = self.content = self.answer = None

    def fail(self, error: BaseException) -> None:
        """End the exchange because the client failed."""
        if self.open:
            self.failure = type(error).__name__  # its text may quote keys: a header with a line break
        self.finish()

    def finish(self, *, complete: bool = False, finalising: bool = False) -> None:
        """End the exchange and hand it over; only the first call does anything.

        Args:
            complete: the provider has said everything, as opposed to the app having stopped listening.
            finalising: the garbage collector calls, on any thread, maybe one that holds a lock of ours.
        """
        if not self.open:  # as at most of the ends that one call has; only `pop` tells which of two at once is first
            return
        if self._generation != _generation:  # the parent is still receiving it, and reports it
            self.forget()
            return
        try:
            self._claim.pop()
        except IndexError:
            return
        self.open = False
        if self._stream is not None:
            forget(self._stream)
        self.terminated = complete
        self.ended = perf_counter()
        call = self._call or self.call
        call.due = True
        if self.passage is not None and call.settled:
            return  # the proxy has it on record, and has told the result
        self._owner.deliver(self, finalising=finalising)

    @property
    def proxying(self) -> Any:
        """Which calls go through Pay-i's proxy: see `Owner.proxying`."""
        return self._owner.proxying

    @property
    def booked(self) -> bool:
        """Whether Pay-i's proxy has the call on record, so that it must not be reported."""
        return self.passage is not None and self.passage.booked is True

    def settle(self, result: XproxyResult) -> None:
        """Take the result that the proxy has told."""
        if (scope := self.scope) is not None:
            scope.last_result = result
        self.call.due = True
        self.call.settle(result)

    def ask(self) -> Admission | None:
        """Ask whether the call may be made; None if nothing limits it."""
        return self._owner.admit(self)

    def refuse(self, refusal: Refusal) -> None:
        """End the exchange because the call is not made: a limit has no room for it."""
        self.status = refusal.status
        self.answer = Answer(error_code=CODE, notes={BLOCKED_PROPERTY: ",".join(refusal.limit_ids)})
        self.call.provisional = refusal.result
        self.finish(complete=True)

    def discard(self) -> None:
        """End the exchange without a report: it was no inference."""
        if self.open:
            self.forget()
            self.withdraw()

    def forget(self) -> None:
        """Take no notice of what comes from now on."""
        self._claim.clear()
        self.open = False
        if self._stream is not None:
            forget(self._stream)

    def withdraw(self) -> None:
        """Take the call back from the request that made it: it has nothing to report."""
        if (scope := self.scope) is not None:
            scope.remove(self.call)
        self.call.settle(None)

    @property
    def held_for(self) -> float:
        """Seconds that the answer may be held until its result is in."""
        return self._owner.inline_timeout if self.inline and self.identified and self._owner.available else 0.0


_generation = 0
"""How many forks this process is away from the first one."""


def _begin_generation() -> None:
    """Take no notice in a forked child of what its parent is still receiving, and will report."""
    global _generation
    _generation += 1


after_fork(_begin_generation)
