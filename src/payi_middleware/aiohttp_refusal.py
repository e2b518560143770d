"""An aiohttp response that no server gave: a call that its limits refuse ends with one."""

from __future__ import annotations

import inspect
from types import SimpleNamespace
from typing import Any

import anyio.lowlevel
from aiohttp.base_protocol import BaseProtocol
from aiohttp.client_reqrep import ClientResponse, RequestInfo
from aiohttp.helpers import TimerNoop
from aiohttp.http import HttpVersion11
from aiohttp.streams import StreamReader
from multidict import CIMultiDict, CIMultiDictProxy

from .limits.refusal import Refusal
from .metering import CALL_EXTENSION
from .recorder import Exchange

_BUFFER = 65_536


async def refused_response(
    session: Any, method: str, url: Any, exchange: Exchange, refusal: Refusal, raises: Any
) -> Any:
    """Return the answer to a call that is not made.

    Args:
        raises: what the app says for `raise_for_status`.

    Raises:
        aiohttp.ClientResponseError: the app wants errors raised.
    """
    target = session._build_url(url)
    loop: Any = anyio.lowlevel.current_token().native_token
    headers = CIMultiDictProxy(CIMultiDict(refusal.headers))
    given = {
        "writer": None,
        "continue100": None,
        "timer": TimerNoop(),
        "request_info": RequestInfo(target, method, CIMultiDictProxy(CIMultiDict()), target),
        "traces": [],
        "loop": loop,
        "session": session,
        "stream_writer": SimpleNamespace(output_size=0),
    }
    known = inspect.signature(ClientResponse.__init__).parameters  # which it asks for depends on the version
    response: Any = ClientResponse(method, target, **{name: value for name, value in given.items() if name in known})
    response.version, response.status, response.reason = HttpVersion11, refusal.status, "Bad Request"
    response._headers = headers
    response._raw_headers = tuple((name.encode(), value.encode()) for name, value in refusal.headers.items())
    response.content = StreamReader(BaseProtocol(loop), _BUFFER, loop=loop)
    response.content.feed_data(refusal.body)
    response.content.feed_eof()
    response.extensions = {CALL_EXTENSION: exchange.call}
    wanted = session._raise_for_status if raises is None else raises
    if callable(wanted):
        await wanted(response)
    elif wanted:
        response.raise_for_status()
    return response
