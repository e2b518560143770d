"""The real SDKs on real servers: openai and anthropic run on httpx2, groq runs on httpx."""

from __future__ import annotations

from contextlib import closing

import pytest
from fastapi import FastAPI

from payi_middleware import Settings
from payi_middleware.demo.provider import Provider
from tests.attribution.asgi_kit import ClosesOnShutdown, Kit
from tests.attribution.asgi_sdks import CALLS, AsyncSdks, Sdks
from tests.attribution.asgi_serving import SERVERS
from tests.attribution.asgi_stacks import outermost
from tests.attribution.asgi_table import Shape, User
from tests.attribution.asgi_world import assert_right, run


@pytest.mark.parametrize("server", SERVERS)
def test_overlapping_users_of_sync_sdks_keep_apart_on(server: str, provider: Provider, settings: Settings) -> None:
    with closing(Sdks(provider)) as sdks:

        def build(app: FastAPI, kit: Kit) -> None:
            @app.post("/")
            def handler(user: User) -> None:
                sdks.ask(user)

        shape = Shape(build, CALLS, CALLS)
        assert_right(run(shape, provider, settings, server=server), shape)


# The openai SDK leaves its generators unexhausted once the last event is in, with or without us; trio says so.
@pytest.mark.filterwarnings("ignore:Async generator .* was garbage collected:ResourceWarning")
@pytest.mark.parametrize("server", SERVERS)
def test_overlapping_users_of_async_sdks_keep_apart_on(server: str, provider: Provider, settings: Settings) -> None:
    sdks = AsyncSdks(provider)

    def build(app: FastAPI, kit: Kit) -> None:
        @app.post("/")
        async def handler(user: User) -> None:
            await sdks.ask(user)

    shape = Shape(build, CALLS, CALLS)
    outcome = run(
        shape,
        provider,
        settings,
        server=server,
        stack=lambda app, settings: ClosesOnShutdown(outermost(app, settings), sdks),
    )
    assert_right(outcome, shape)
