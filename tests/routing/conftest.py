"""A service of ours, a provider that answers byte by byte what the test says, and settings that route calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from payi_middleware import Settings
from tests.limits.conftest import anyio_backend, ledger, new_limit, service_url
from tests.service_proxy.serving import KEY
from tests.transport import bedrock

__all__ = ["anyio_backend", "ledger", "new_limit", "service_url"]


@pytest.fixture
def scripted() -> Iterator[bedrock.Bedrock]:
    """A provider that answers what the test says."""
    with bedrock.serving() as server:
        yield server


@pytest.fixture
def routed(service_url: str, scripted: bedrock.Bedrock) -> Callable[..., Settings]:
    """Return settings that route calls to the scripted provider, which speaks the wire that is named."""

    def make(wire: Any, **settings: Any) -> Settings:
        more = {"mode": "proxy", "base_url": service_url, "api_key": KEY, "header_wait": 10.0, **settings}
        return Settings(providers={urlsplit(scripted.url).netloc: wire}, **more)

    return make
