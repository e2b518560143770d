"""Apps with settings of their own in one process report each to its own ledger."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fastapi import FastAPI
from starlette.types import ASGIApp

from payi_middleware import PayiMiddleware, Settings
from payi_middleware.demo.provider import Provider
from tests.attribution.asgi_crowd import CROWD, USERS, post_all
from tests.attribution.asgi_gate import Gate
from tests.attribution.asgi_kit import ClosesOnShutdown, Kit, Truth
from tests.attribution.asgi_proof import booked, misattributed, truth_of
from tests.attribution.asgi_serving import serving
from tests.attribution.asgi_table import User


def _app(name: str, kit: Kit, settings: Settings) -> ASGIApp:
    app = FastAPI()

    @app.post("/")
    def handler(user: User) -> None:
        kit.ask(Truth(user, name, name))

    app.add_middleware(Gate, width=CROWD)
    app.add_middleware(PayiMiddleware, settings=settings)
    return ClosesOnShutdown(app, kit.async_client)


def test_the_same_users_of_two_apps_are_booked_in_the_right_ledger(provider: Provider, tmp_path: Path) -> None:
    settings = {name: Settings(ledger=tmp_path / name, use_case_name=name, header_wait=10) for name in ("one", "two")}

    with Kit(provider) as one, Kit(provider) as two, ThreadPoolExecutor(2) as both:
        app_one, app_two = _app("one", one, settings["one"]), _app("two", two, settings["two"])
        with serving(app_one) as at_one, serving(app_two, "hypercorn-asyncio") as at_two:
            answers = list(both.map(post_all, (at_one, at_two)))

    assert [sorted(answer) for answer in answers] == [list(USERS)] * 2
    for name in settings:
        asked = [one for one in provider.requests if truth_of(one).app == name]
        records = booked(settings[name].ledger)
        assert len(asked) == len(records) == CROWD * 2
        assert misattributed(asked, records) == []
