"""Whatever a handler looks like, each of its provider calls is reported as its own user's."""

from __future__ import annotations

import pytest

from payi_middleware import Settings
from payi_middleware.demo.provider import Provider
from tests.attribution.asgi_shapes import SHAPES
from tests.attribution.asgi_world import assert_right, run


@pytest.mark.parametrize("name", SHAPES)
def test_overlapping_users_keep_apart_on_uvicorn(name: str, provider: Provider, settings: Settings) -> None:
    assert_right(run(SHAPES[name], provider, settings, server="uvicorn"), SHAPES[name])
