"""Under a real threaded server, fifty users at once: every provider call of Flask views is booked for its own user."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from payi_middleware import Settings, flush
from payi_middleware.demo.provider import Provider
from tests.attribution.wsgi_app import THREADS_EACH, Providers, everybody, make_app
from tests.attribution.wsgi_world import (
    USERS,
    ask_as_everybody,
    assert_everybody_is_charged_for_their_own,
    assert_headers_name_only_own_calls,
    under_waitress,
)


@pytest.fixture
def url(provider: Provider, settings: Settings) -> Iterator[str]:
    providers = Providers(provider.url)
    with under_waitress(make_app(providers, everybody(USERS), settings)) as address:
        yield address
    providers.close()


@pytest.mark.parametrize("path", ["/sync/openai", "/sync/anthropic", "/sync/groq", "/async"])
def test_views_that_make_one_call_are_charged_to_their_user(
    path: str, url: str, provider: Provider, ledger_path: Path
) -> None:
    responses = ask_as_everybody(url + path)
    assert flush(30)
    assert_everybody_is_charged_for_their_own(provider, ledger_path, len(USERS))
    assert_headers_name_only_own_calls(responses, ledger_path, 1)


@pytest.mark.parametrize("path", ["/pool", "/shared-pool", "/threads", "/async/gather"])
def test_views_that_call_from_threads_and_tasks_are_charged_to_their_user(
    path: str, url: str, provider: Provider, ledger_path: Path
) -> None:
    responses = ask_as_everybody(url + path)
    assert flush(30)
    assert_everybody_is_charged_for_their_own(provider, ledger_path, THREADS_EACH * len(USERS))
    assert_headers_name_only_own_calls(responses, ledger_path, THREADS_EACH)


@pytest.mark.parametrize("path", ["/stream", "/stream/with-context"])
def test_streamed_views_that_call_while_streaming_are_charged_to_their_user(
    path: str, url: str, provider: Provider, ledger_path: Path
) -> None:
    responses = ask_as_everybody(url + path)
    assert flush(30)
    assert_everybody_is_charged_for_their_own(provider, ledger_path, len(USERS))
    assert {response.headers["X-Payi-Status"] for response in responses.values()} == {"pending"}
