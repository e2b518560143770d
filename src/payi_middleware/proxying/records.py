"""Where the result of a call is that the proxy has on record, and whose answer did not tell it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

from payi_middleware.providers import Answer
from payi_middleware.recorder import Exchange
from payi_middleware.results import XproxyResult

__all__ = ["look_up_later"]

_MADE_UP = "payi_"


class _Source(Protocol):
    def result(self, category: str, provider_response_id: str) -> XproxyResult:
        """Fetch the result of a call that is on record."""


def look_up_later(exchange: Exchange, answer: Answer, source: Callable[[], _Source]) -> None:
    """Settle a call without a result; whoever asks for that looks it up by the provider's response id, if there is one.

    Speech and other media have no place for the result, nor has a stream that the app has stopped reading.
    """
    response_id = answer.response_id if answer.response_id and answer.unique_id else exchange.fallback_id
    if response_id is None or response_id.startswith(_MADE_UP):
        exchange.call.settle(None)
        return
    category = exchange.annotations.price_as_category or exchange.match.category
    exchange.call.settle_without_result(partial(_fetch, source, category, response_id))


def _fetch(source: Callable[[], _Source], category: str, response_id: str) -> XproxyResult:
    return source().result(category, response_id)
