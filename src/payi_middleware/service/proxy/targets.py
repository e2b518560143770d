"""Where a call goes: to hosts of the providers that are known, and to those that whoever runs the service allows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, unquote

from payi_middleware.exceptions import ConfigurationError
from payi_middleware.providers.registry import ALL_ROWS
from payi_middleware.service.errors import invalid

from .families import Family

__all__ = ["BASE_URI", "Hosts", "Target", "allowed_host", "as_signed"]

BASE_URI = "xProxy-Provider-BaseUri"

_PATH = r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*"
_AUTHORITY = r"(?P<host>[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?\.?|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?"
_URI = re.compile(rf"(?P<scheme>https?)://{_AUTHORITY}(?P<path>(?:/{_PATH})?)", re.ASCII | re.IGNORECASE)
_HOST = re.compile(_AUTHORITY, re.ASCII | re.IGNORECASE)
_PATH_ONLY = re.compile(_PATH)
_LONGEST_HOST = 255
_SCHEME_PORTS = {"https": 443, "http": 80}
_LABEL, _LABELS = "[a-z0-9-]+", "[a-z0-9-]+(?:[.][a-z0-9-]+)*"


def _pattern(host: str) -> str:
    """Return what the hosts of a row look like.

    A star in front of a dot is any name below the provider's own; anywhere else it is a part of one label, or a bucket
    that anybody can make at the provider's would do as well (`dashscope-x.oss-cn-beijing.aliyuncs.com`).
    """
    first, *others = (re.escape(part) for part in host.split("*"))
    if first == "" and others and others[0].startswith(r"\."):
        return _LABELS + _LABEL.join(others)
    return _LABEL.join([first, *others])


_ANYBODYS = frozenset({"*.hf.space"})
"""Where anybody may serve anything without paying, such as a way to anywhere else."""
_KNOWN = re.compile(
    "|".join(_pattern(host) for row in ALL_ROWS for host in row.hosts if host not in _ANYBODYS), re.ASCII
)


@lru_cache(maxsize=1024)
def _is_known(host: str) -> bool:
    return _KNOWN.fullmatch(host) is not None


@dataclass(frozen=True, slots=True)
class Target:
    """The URL of a call. `port` is None where it is the scheme's own; `path` is as it goes over the wire.

    Args:
        query: the query without its question mark, empty if there is none.
        known: it is at a known provider's own host.
    """

    scheme: str
    host: str
    port: int | None
    path: str
    query: str
    known: bool

    @property
    def authority(self) -> str:
        """The host, and its port if that is not the scheme's own: what the header Host says."""
        return self.host if self.port is None else f"{self.host}:{self.port}"

    @property
    def address(self) -> str:
        """The URL without its query, which may hold keys."""
        return f"{self.scheme}://{self.authority}{self.path}"

    @property
    def url(self) -> str:
        """The URL."""
        return f"{self.address}?{self.query}" if self.query else self.address


@dataclass(frozen=True, slots=True)
class _Base:
    scheme: str
    host: str
    port: int | None
    path: str
    known: bool


class Hosts:
    """The hosts that calls may go to.

    Args:
        allowed: `host` (any port of it) or `host:port`, besides the known providers' own.

    Raises:
        ConfigurationError: one of `allowed` is neither.
    """

    def __init__(self, allowed: Iterable[str]) -> None:
        self._allowed = frozenset(map(allowed_host, allowed))

    def target(self, family: Family, base_uri: str | None, segments: Sequence[str], query: str) -> Target:
        """Return where a call goes.

        Args:
            base_uri: the header xProxy-Provider-BaseUri, if there is one.
            segments: the rest of the path, as it was sent.

        Raises:
            ServiceError: 400 `header_is_missing`, `invalid_provider_uri` or `invalid_provider_host`.
        """
        base = self._base(base_uri or family.base)
        root = base.path or family.root or (family.known_root if base.known else "")
        path = "/".join((root.rstrip("/"), *segments)) or "/"
        if not _PATH_ONLY.fullmatch(path) or any(unquote(part) in (".", "..") for part in path.split("/")):
            # A provider would take the dots out, and answer another request than the one that was looked at here.
            raise invalid("the path is not one that is passed on to a provider", "invalid_provider_uri")
        return Target(base.scheme, base.host, base.port, path, query, base.known)

    def _base(self, uri: str | None) -> _Base:
        if not uri:
            raise invalid(f"the header {BASE_URI} is missing: the provider's address", "header_is_missing")
        found = _URI.fullmatch(uri.strip(" \t"))
        if found is None or len(found["host"]) > _LONGEST_HOST or not 0 < int(found["port"] or 1) < 65_536:
            raise invalid(f"{BASE_URI} must be https://host or https://host/path", "invalid_provider_uri")
        scheme, host = found["scheme"].lower(), found["host"].lower().rstrip(".")
        port = int(found["port"] or _SCHEME_PORTS[scheme])
        usual = port == _SCHEME_PORTS[scheme]
        allowed = host in self._allowed or f"{host}:{port}" in self._allowed
        known = _is_known(host)
        if not allowed and not (known and usual):
            raise invalid(f"{BASE_URI} names a host that calls may not go to", "invalid_provider_host")
        if not allowed and scheme != "https":
            raise invalid(f"{BASE_URI} must begin with https://", "invalid_provider_uri")
        path = found["path"].rstrip("/")
        return _Base(scheme, host, None if usual else port, path, known)


def allowed_host(name: str) -> str:
    """Return a host that may be called in the form that it is looked up by.

    Raises:
        ConfigurationError: this is no `host` or `host:port`.
    """
    found = _HOST.fullmatch(name.strip())
    if found is None or not 0 < int(found["port"] or 1) < 65_536:
        raise ConfigurationError("allowed_hosts", f"{name!r} is no host", "Write host or host:port, without a scheme.")
    host = found["host"].lower().rstrip(".")
    return host if found["port"] is None else f"{host}:{int(found['port'])}"


_BOTO = re.compile(r"\b(?:boto3|botocore|aiobotocore)[/#]", re.IGNORECASE)


def as_signed(segments: Sequence[str], user_agent: str) -> Sequence[str]:
    """Return the path of a call to Bedrock as it was signed.

    boto3 signs `/model/x%3A0/converse`, but Pay-i's SDK, which redirects its calls, hands the decoded path on.
    """
    model, rest = segments[1:-1], segments[-1:]
    if list(segments[:1]) != ["model"] or not model or not _BOTO.search(user_agent):
        return segments
    name = "/".join(model)
    return [segments[0], name if "%" in name else quote(name, safe="-._~"), *rest]
