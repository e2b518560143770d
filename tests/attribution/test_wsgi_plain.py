"""A WSGI app without any framework: what it calls before, while and after it streams is its user's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from payi_middleware import PayiWSGIMiddleware, Settings, flush
from payi_middleware.demo.provider import Provider
from tests.attribution.wsgi_app import Gate, Providers, everybody
from tests.attribution.wsgi_world import (
    USERS,
    ask_as_everybody,
    assert_everybody_is_charged_for_their_own,
    under_waitress,
)

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class Streamed:
    """A body that asks when it is read, and once more when it is closed."""

    def __init__(self, providers: Providers, user: str, gate: Gate) -> None:
        self._providers = providers
        self._user = user
        self._pieces = providers.stream_openai(user, gate)

    def __iter__(self) -> Iterator[bytes]:
        return (piece.encode() for piece in self._pieces)

    def close(self) -> None:
        self._providers.ask_anthropic(self._user)


@pytest.mark.parametrize(("path", "calls_each"), [("/list", 1), ("/streamed", 3)])
def test_a_plain_wsgi_app_is_charged_to_its_users(
    path: str, calls_each: int, provider: Provider, settings: Settings, ledger_path: Path
) -> None:
    providers, gate = Providers(provider.url), everybody(USERS)

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        gate()
        user = environ["HTTP_X_USER_ID"]
        start_response("200 OK", [("Content-Type", "text/plain")])
        text = providers.ask_groq(user)
        return [text.encode()] if environ["PATH_INFO"] == "/list" else Streamed(providers, user, gate)

    with under_waitress(PayiWSGIMiddleware(app, settings)) as url:
        ask_as_everybody(url + path)
    providers.close()
    assert flush(30)
    assert_everybody_is_charged_for_their_own(provider, ledger_path, calls_each * len(USERS))
