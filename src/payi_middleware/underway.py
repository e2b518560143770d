"""The call that a transport is having sent, for whoever may send it on by another library of ours.

A transport of httpx's can be made on aiohttp: its call is recorded where httpx hands it over, and once is enough.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Awaitable
from functools import cache
from typing import TypeVar
from weakref import ref

from opentelemetry.context import attach, create_key, get_value, set_value

from .context import current_frame
from .recorder import Exchange

_KEY = create_key("payi-underway")
_T = TypeVar("_T")


@cache
def may_be_sent_on() -> bool:
    """Return whether a library is installed that `is_underway()` is asked for."""
    try:
        return any(name in sys.modules or importlib.util.find_spec(name) for name in ("aiohttp", "requests"))
    except (ImportError, ValueError):  # whatever is there is no module as others are
        return True


async def sending(exchange: Exchange, sent: Awaitable[_T]) -> _T:
    """Wait for `sent`, in which `is_underway()` holds until the response has begun.

    The value is set back rather than a token reset: a coroutine that nobody finishes is closed in another context.
    It is a weak reference, as a connection that is opened meanwhile keeps the context that it was opened in.
    """
    outside = get_value(_KEY)
    attach(set_value(_KEY, ref(exchange)))
    try:
        return await sent
    finally:
        attach(set_value(_KEY, outside))


def is_underway() -> bool:
    """Return whether what is sent here is a call that is recorded already.

    What the sending has left behind does not count, such as a background task; nor does what an app in this process
    sends to answer the call.
    """
    sent = get_value(_KEY)
    exchange = sent() if isinstance(sent, ref) else None
    if exchange is None or not exchange.open or exchange.status is not None:
        return False
    frame = current_frame()
    return exchange.scope is (None if frame is None else frame.scope)
