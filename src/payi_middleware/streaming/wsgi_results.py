"""The results route on WSGI."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from payi_middleware.context import RequestScope
from payi_middleware.log import warn

from .late import Late
from .results_route import answer, is_replaced

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

__all__ = ["WsgiAnswer"]


class WsgiAnswer:
    """One request's `start_response`, which puts the answer in place of the app's response, if that lets it pass.

    Args:
        late: where earlier requests are.
        request_id: which one is asked for.
        scope: who asks.
        start: the server's.
    """

    def __init__(self, late: Late, request_id: str, scope: RequestScope, start: StartResponse) -> None:
        self._late = late
        self._request_id = request_id
        self._scope = scope
        self._start = start
        self._answer: bytes | None = None

    def __call__(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
        self._answer = None
        if is_replaced(int(status[:3])):
            try:
                self._scope.settle_identity()
                code, headers, self._answer = answer(self._late.find(self._request_id, self._scope), headers)
                status = f"{code} {HTTPStatus(code).phrase}"
            except Exception as error:  # noqa: BLE001 - fail open: the app's response goes out
                warn("results", "An earlier result could not be looked up: %s", type(error).__name__)
        write = self._start(status, headers) if exc_info is None else self._start(status, headers, exc_info)
        return write if self._answer is None else _drop

    def body(self, own: Iterable[bytes]) -> Iterable[bytes]:
        """Return the response's body in place of the app's."""
        return _Body(own, self)

    def take(self) -> bytes | None:
        """Return the answer, or None if the app's response stands."""
        return self._answer


class _Body:
    def __init__(self, own: Iterable[bytes], starter: WsgiAnswer) -> None:
        self._own = own
        self._starter = starter
        self._over = False
        self._iterator: Iterator[bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._over:
            raise StopIteration
        if (answer := self._starter.take()) is None:
            self._iterator = self._iterator or iter(self._own)
            chunk = next(self._iterator, None)
            if (answer := self._starter.take()) is None:  # an app that is a generator starts its response only now
                if chunk is None:
                    raise StopIteration
                return chunk
        self._over = True
        return answer

    def close(self) -> None:
        if (close := getattr(self._own, "close", None)) is not None:
            close()


def _drop(chunk: bytes) -> None:
    """Write nothing: the response's body is ours."""
