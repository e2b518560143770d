"""Each test hears every warning once, and async tests run on asyncio and on trio."""

from __future__ import annotations

import pytest

from payi_middleware import log


@pytest.fixture(autouse=True)
def _every_warning_is_heard() -> None:
    log.reset()


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)
