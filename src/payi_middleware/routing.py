"""Where a provider call goes in proxy mode: (provider's URL, annotations) → (Pay-i's URL, headers). Pure.

Base paths: https://docs.pay-i.com/docs/pay-i-proxy-configuration
Headers: https://docs.pay-i.com/docs/list-of-all-supported-headers
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from .headers import API_KEY_HEADER, proxy_headers
from .providers import Match

__all__ = ["Asked", "Route", "Unroutable", "route_of"]

BASE_URI_HEADER = "xProxy-Provider-BaseUri"
_PRICE_AS_CATEGORY = "xProxy-PriceAs-Category"
_ROOT = "/api/v1/proxy"
_VERSION = "/v1"
_MOST = 8192
"""Bytes of our headers: servers take 8 to 16 KiB of all headers together."""


class Unroutable(Exception):  # noqa: N818 - it names a state of affairs
    """A call cannot go through Pay-i; the text says why, and names nothing of the call's content."""


class Asked(NamedTuple):
    """The URL of a call as it goes over the wire: `authority` is host and port, `path` and `query` are encoded."""

    scheme: str
    authority: str
    path: str
    query: str = ""

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"{self.scheme}://{self.authority}"


class Route(NamedTuple):
    """The URL that a call is sent to instead, and the headers that are added to it."""

    url: str
    headers: Mapping[str, str]


class _Place(NamedTuple):
    """The provider's base path at Pay-i, the rest of the path, the provider's address there, and the category."""

    base: str
    rest: str
    base_uri: str | None
    category: str


def route_of(
    base_url: str, api_key: str | None, match: Match, asked: Asked, item: Mapping[str, Any], *, log_content: bool
) -> Route:
    """Return where a call is sent to go through Pay-i.

    Args:
        base_url: Pay-i's.
        api_key: Pay-i's, if it wants one.
        match: what the call was recognised as.
        item: what it is annotated with, as in a bulk item, and `price_as_category` and `price_as_resource`.
        log_content: prompt and answer may be kept.

    Raises:
        Unroutable: Pay-i's proxy does not have the provider, or an annotation cannot travel in a header.
    """
    place = _place(match, asked)
    annotated = proxy_headers(item)
    if annotated is None:
        raise Unroutable("an annotation cannot travel in a header (characters beyond ASCII, or a comma in a list)")
    headers = {**annotated, "xProxy-Logging-Disable": str(not log_content)}
    if place.category != match.category:
        headers.setdefault(_PRICE_AS_CATEGORY, match.category)
    if place.base_uri is not None:
        headers[BASE_URI_HEADER] = place.base_uri
    if api_key is not None:
        headers[API_KEY_HEADER] = api_key
    if sum(len(name) + len(value) + 4 for name, value in headers.items()) > _MOST:
        raise Unroutable(f"its annotations take more than {_MOST} bytes of headers")
    query = f"?{asked.query}" if asked.query else ""
    return Route(f"{base_url}{_ROOT}/{place.base}{place.rest}{query}", headers)


def _place(match: Match, asked: Asked) -> _Place:
    wire, provider = match.api.partition(".")[0], match.provider
    named = provider == "custom"
    if provider == "bedrock" or (named and wire == "bedrock"):
        return _Place("aws.bedrock", asked.path, asked.origin, "system.aws.bedrock")
    if wire == "openai" and match.category == "system.azureopenai" and (named or provider == "azure"):
        return _Place("azure.openai", asked.path, asked.origin, "system.azureopenai")
    if wire == "openai" and (named or provider == "openai"):
        prefix, rest = _split(asked.path)
        uri = asked.origin + prefix
        return _Place("openai/v1", rest, None if uri == "https://api.openai.com/v1" else uri, "system.openai")
    if wire == "anthropic" and match.category == "system.azure" and (named or provider == "azure"):
        prefix, found, rest = asked.path.rpartition(f"{_VERSION}/")
        return _Place("azure.anthropic", found + rest, asked.origin + prefix, "system.azure")
    if wire == "anthropic" and (named or provider == "anthropic"):
        prefix, found, rest = asked.path.rpartition(f"{_VERSION}/")
        uri = asked.origin + prefix
        base_uri = None if uri == "https://api.anthropic.com" else uri
        return _Place("anthropic", found + rest, base_uri, "system.anthropic")
    if provider == "unknown":
        raise Unroutable("its host is not known: name it in Settings.providers")
    raise Unroutable(f"Pay-i's proxy does not have {provider} ({wire})")


def _split(path: str) -> tuple[str, str]:
    """Split a path into what belongs to the provider's address, which must not be empty, and the rest."""
    before, version, rest = path.rpartition(f"{_VERSION}/")
    if version:
        return f"{before}{_VERSION}", f"/{rest}"
    first, slash, rest = path.removeprefix("/").partition("/")
    if not slash:
        raise Unroutable("its path is too short to be split into an address and a path")
    return f"/{first}", f"/{rest}"
