"""One call's way through Pay-i's proxy, without I/O: what is taken out of its answer, and what if there is none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Literal

from pydantic import ValidationError

from payi_middleware.log import warn
from payi_middleware.providers.decoding import UndecodableError, decoder_for
from payi_middleware.recorder import Exchange
from payi_middleware.results import XproxyResult
from payi_middleware.routing import Route

from .answers import read_answer
from .circuit import Circuit
from .sieves import EventSieve, FrameSieve, Sieve

__all__ = ["OURS", "Form", "OnFailure", "Passage"]

OnFailure = Literal["direct", "fail"]
OURS = "x-payi-"
"""How the names of the headers begin that Pay-i adds to an answer."""
_LEFT = frozenset({"CancelledError", "Cancelled", "KeyboardInterrupt", "SystemExit"})
"""What ends a call that its app leaves, on asyncio, trio and elsewhere. The proxy sees it go, and books it."""
_AWAY = frozenset({502, 503, 504})
_LINES = ("jsonl", "ndjson")
_AMAZON_ID = "x-amzn-requestid"


_SIEVES: Mapping[str, type[EventSieve] | type[FrameSieve]] = {
    "text/event-stream": EventSieve,
    "application/vnd.amazon.eventstream": FrameSieve,
}


class Form(Enum):
    """How an answer is taken."""

    WHOLE = "one text, read to its end"
    STREAM = "events"
    OTHER = "anything else, which nothing is added to"


class Passage:
    """Take one call through Pay-i.

    Args:
        exchange: the call.
        route: where it is sent.
        circuit: knows whether Pay-i can be reached.
        on_failure: what is to become of it if Pay-i cannot be reached.
        keep: the result stays in the answer.
        learn: is called with the exchange when its result is in.
    """

    def __init__(
        self,
        exchange: Exchange,
        route: Route,
        *,
        circuit: Circuit,
        on_failure: OnFailure,
        keep: bool,
        learn: Callable[[Exchange], None],
    ) -> None:
        self.exchange = exchange
        self._circuit = circuit
        self._on_failure = on_failure
        self._keep = keep
        self._learn = learn
        self.url = route.url
        self.headers = route.headers
        self.down = not circuit.allows()
        """Whether Pay-i is known to be away, so that nobody needs to try."""
        self.sieve: Sieve | None = None
        self._not_called = False
        exchange.passage = self

    def unreachable(self) -> bool:
        """Note that no connection could be made, so that nobody has seen the call; return whether to make it directly.

        If not, the client's own error is what the app gets.
        """
        if not self.down:
            self._circuit.fail()
        return self._leave("Pay-i cannot be reached")

    def _leave(self, reason: str) -> bool:
        if self._on_failure == "fail":
            return False
        warn("proxy failure", "%s: calls go to the provider directly", reason)
        self.exchange.passage = None
        return True

    def respond(self, status: int, headers: Mapping[str, str]) -> Form:
        """Take the status and the headers of Pay-i's answer (by lower-case names), and return its form."""
        self._circuit.succeed()
        kind = headers.get("content-type", "").lower()
        exchange = self.exchange
        if exchange.match.api.startswith("bedrock."):  # the id that the proxy books it with if it has none of its own
            exchange.fallback_id = headers.get(_AMAZON_ID)
        if status >= 400 or ("json" in kind and not any(name in kind for name in _LINES)):
            return Form.WHOLE
        make = next((sieve for start, sieve in _SIEVES.items() if kind.startswith(start)), None)
        if make is None:
            return Form.OTHER
        try:
            self.sieve = make(self._take, decoder_for(headers.get("content-encoding", "")), keep=self._keep)
        except UndecodableError:  # an encoding that is not known here: the app gets what came
            return Form.OTHER
        return Form.STREAM

    def read(self, status: int, body: bytes, *, replayable: bool) -> bytes | None:
        """Take an answer that is one text, and return what the app gets of it: without what Pay-i added.

        Args:
            body: the text, decoded.
            replayable: the call can be made again.

        Returns:
            None if Pay-i has not made the call, which is to be made directly then.
        """
        told = read_answer(status, body)
        if told.not_called:
            self._not_called = True
            if replayable and self._leave(f"Pay-i does not pass a call on (HTTP {status} {told.code})"):
                return None
        if told.result is not None:
            self._take(told.result)
        return body if self._keep else told.body

    def _take(self, value: Any) -> None:
        """Take Pay-i's result: it is the call's, which need not be reported any more."""
        exchange = self.exchange
        if exchange.call.settled:
            return
        try:
            result = XproxyResult.model_validate(value)
        except ValidationError as error:
            warn("proxy result", "A result of Pay-i's could not be read: %s", type(error).__name__)
            return
        exchange.settle(result)
        self._learn(exchange)

    @property
    def booked(self) -> bool:
        """Whether the proxy has the call on record, or will have it: it was answered to the end, or the app left it."""
        exchange = self.exchange
        if exchange.failure in _LEFT:
            return not self.down
        answered = exchange.status is not None and exchange.status not in _AWAY
        return answered and exchange.failure is None and not self._not_called
