"""Wherever the middleware stands, and however often, each call is reported once and as its own user's."""

from __future__ import annotations

import pytest

from payi_middleware import Settings
from payi_middleware.demo.provider import Provider
from tests.attribution.asgi_shapes import SHAPES
from tests.attribution.asgi_stacks import STACKS
from tests.attribution.asgi_world import assert_right, run

_NAME = "def handler after def dependency, then a tracked body and background tasks"
_HELD_UP = ("outside BaseHTTPMiddleware", "twice")
"""Where a `BaseHTTPMiddleware` passes the start of a response on while the body is being made already."""


@pytest.mark.parametrize("stack", STACKS)
def test_overlapping_users_keep_apart_behind(stack: str, provider: Provider, settings: Settings) -> None:
    shape = SHAPES[_NAME]
    outcome = run(shape, provider, settings, stack=STACKS[stack])
    assert_right(outcome, shape, at_most=shape.calls if stack in _HELD_UP else None)
