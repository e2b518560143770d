"""Connections to providers: one pool for the whole service."""

from __future__ import annotations

import importlib
import importlib.util
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import lru_cache
from typing import Any
from urllib.request import getproxies, proxy_bypass

from anyio import CancelScope

from payi_middleware.service.errors import ServiceError

from .forwarding import Headers
from .targets import Target

__all__ = ["Unreachable", "Upstream", "UpstreamResponse"]

CONNECT_TIMEOUT = 10.0
"""Seconds that a provider may take to accept a connection."""
_KEPT_OPEN = 100
_IDLE = 30.0
"""Seconds that an unused connection is kept: less than providers keep theirs."""
_LOOPBACK = ("localhost", "127.", "[::1]")


class Unreachable(Exception):  # noqa: N818 - it names a state of affairs
    """A provider did not answer, or not to the end.

    Args:
        kind: the name of the client's own error.
        refusal: what the caller is told.
    """

    def __init__(self, kind: str, refusal: ServiceError) -> None:
        super().__init__(kind)
        self.kind = kind
        self.refusal = refusal


def _library() -> Any:
    return importlib.import_module("httpx2" if importlib.util.find_spec("httpx2") else "httpx")


class Upstream:
    """Call providers. Redirects are not followed and cookies not kept: both would cross from one caller to another.

    httpx's transports are used without its client, which would do both and take its time.

    Args:
        timeout: seconds that a provider may be silent.
    """

    def __init__(self, timeout: float) -> None:
        self._timeouts = {"connect": CONNECT_TIMEOUT, "read": timeout, "write": timeout, "pool": None}
        self.strict: set[str] = set()
        """Hosts that refuse a request which asks them for the usage of a stream."""
        self._library: Any = None
        self._transports: dict[str | None, Any] = {}
        self._proxy_of = lru_cache(maxsize=1024)(_proxy_between)

    async def send(
        self, method: str, target: Target, headers: Headers, body: bytes | AsyncIterator[bytes]
    ) -> UpstreamResponse:
        """Send a request, and return the response as soon as its headers are there.

        Raises:
            Unreachable: there is no response.
        """
        if self._library is None:
            self._library = _library()
        library = self._library
        try:
            request = library.Request(
                method, target.url, headers=headers, content=body, extensions={"timeout": self._timeouts}
            )
            response = await self._transport(target).handle_async_request(request)
        except (library.TransportError, library.InvalidURL) as error:
            raise _unreachable(error, library) from error
        return UpstreamResponse(response, library)

    def _transport(self, target: Target) -> Any:
        """Return the pool for a target: there is one for each proxy between us and the providers."""
        proxy = self._proxy_of(target.scheme, target.host)
        transport = self._transports.get(proxy)
        if transport is None:
            limits = self._library.Limits(
                max_connections=None, max_keepalive_connections=_KEPT_OPEN, keepalive_expiry=_IDLE
            )
            transport = self._transports[proxy] = self._library.AsyncHTTPTransport(limits=limits, proxy=proxy)
        return transport

    async def aclose(self) -> None:
        """Close the connections."""
        while self._transports:
            _, transport = self._transports.popitem()
            await transport.aclose()


class UpstreamResponse:
    """A response, whose body is to come. Close it, read to its end or not."""

    def __init__(self, response: Any, library: Any) -> None:
        self._stream = response.stream
        self._chunks = aiter(response.stream)
        self._library = library
        self.status: int = response.status_code
        self.headers: Headers = [(name.lower(), value) for name, value in response.headers.raw]
        self.told = {name.decode("latin-1"): value.decode("latin-1") for name, value in self.headers}
        """The headers by lower-case name."""

    async def read(self) -> bytes:
        """Return the body's next bytes as soon as they are there; none at its end.

        Raises:
            Unreachable: it breaks off.
        """
        try:
            async for chunk in self._chunks:
                if chunk:
                    return bytes(chunk)
        except self._library.TransportError as error:
            raise _unreachable(error, self._library) from error
        return b""

    async def aclose(self) -> None:
        """Close the connection, unless the response was read to its end."""
        with CancelScope(shield=True), suppress(self._library.TransportError):
            await self._chunks.aclose()
            await self._stream.aclose()


def _proxy_between(scheme: str, host: str) -> str | None:
    """Return the proxy that the system wants to be used for a host, such as `HTTPS_PROXY` names."""
    if host.startswith(_LOOPBACK) or proxy_bypass(host):
        return None
    proxies = getproxies()
    return proxies.get(scheme) or proxies.get("all")


def _unreachable(error: Exception, library: Any) -> Unreachable:
    kind = type(error).__name__
    if isinstance(error, library.TimeoutException):
        return Unreachable(kind, ServiceError(504, "provider_error", "the provider did not answer in time"))
    if _is_about_the_certificate(error):
        told = "the provider's certificate is not valid for its host"
        return Unreachable(kind, ServiceError(502, "invalid_provider_ssl_certificate", told))
    return Unreachable(kind, ServiceError(502, "provider_error", "the provider could not be reached, or broke off"))


def _is_about_the_certificate(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
