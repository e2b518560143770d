"""The same on hypercorn, whose workers run on asyncio or trio."""

from __future__ import annotations

import pytest

from payi_middleware import Settings
from payi_middleware.demo.provider import Provider
from tests.attribution.asgi_shapes import SHAPES
from tests.attribution.asgi_world import assert_right, run

_PORTABLE = (
    "anyio task group",
    "def handler after def dependency, then a tracked body and background tasks",
)


@pytest.mark.parametrize("name", _PORTABLE)
@pytest.mark.parametrize("server", ["hypercorn-asyncio", "hypercorn-trio"])
def test_overlapping_users_keep_apart_on(server: str, name: str, provider: Provider, settings: Settings) -> None:
    assert_right(run(SHAPES[name], provider, settings, server=server), SHAPES[name])
