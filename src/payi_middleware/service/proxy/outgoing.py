"""The request that goes to a provider."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from .forwarding import Headers
from .targets import Target
from .upstream import Upstream, UpstreamResponse

__all__ = ["Outgoing"]

_NOT_UNDERSTOOD = (400, 422)


@dataclass(slots=True)
class Outgoing:
    """A request to a provider.

    Args:
        body: what is sent.
        taken_out: see `Asking`.
        fallback: see `Asking`.
    """

    method: str
    target: Target
    headers: Headers
    body: bytes | AsyncIterator[bytes]
    taken_out: bool = False
    fallback: bytes | None = None

    async def send(self, upstream: Upstream) -> UpstreamResponse:
        """Send it, and return the response as soon as its headers are there.

        Raises:
            Unreachable: there is no response.
        """
        response = await upstream.send(self.method, self.target, self.headers, self.body)
        if self.fallback is None or response.status not in _NOT_UNDERSTOOD:
            return response
        await response.aclose()
        self.taken_out = False
        response = await upstream.send(self.method, self.target, self.headers, self.fallback)
        if response.status not in _NOT_UNDERSTOOD:
            upstream.strict.add(self.target.authority)
        return response
