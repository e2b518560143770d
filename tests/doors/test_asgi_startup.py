"""Start and end of an ASGI app: lifespan events, wrong settings and missing packages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Event, Timer
from typing import Any

import anyio.to_thread
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from payi_middleware import PayiMiddleware, Settings
from payi_middleware.demo.provider import Provider
from payi_middleware.exceptions import ConfigurationError
from payi_middleware.service.ledger import Ledger
from tests.doors.asgi_server import run_python, serve
from tests.doors.conftest import Ask

LIFESPAN = {"type": "lifespan", "asgi": {"version": "3.0"}}
LAZILY_BUILT = """
from starlette.applications import Starlette
from payi_middleware import PayiMiddleware

app = Starlette()
app.add_middleware(PayiMiddleware)
"""
WITHOUT_SQLALCHEMY = """
import sys

class Hidden:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] == "sqlalchemy" else self.finder.find_spec(name, path, target)

sys.meta_path[:] = [Hidden(finder) for finder in sys.meta_path]

from payi_middleware import PayiMiddleware, PayiWSGIMiddleware
from payi_middleware.exceptions import ConfigurationError

for middleware in (PayiMiddleware, PayiWSGIMiddleware):
    try:
        middleware(None)
    except ConfigurationError as error:
        print(error)
"""


def test_the_lifespan_and_its_state_reach_the_app_and_its_requests(settings: Settings) -> None:
    happened: list[str] = []

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, str]]:
        happened.append("started")
        yield {"pool": "open"}
        happened.append("stopped")

    def state(request: Request) -> PlainTextResponse:
        return PlainTextResponse(f"{request.state.pool} {hasattr(request.state, 'payi')}")

    app = PayiMiddleware(Starlette(routes=[Route("/", state)], lifespan=lifespan), settings)
    with TestClient(app) as client:
        assert client.get("/").text == "open True"
        assert "payi" not in client.app_state
    assert happened == ["started", "stopped"]


def test_when_the_shutdown_is_complete_what_waited_has_been_delivered(
    ask: Ask, provider: Provider, ledger_path: Path
) -> None:
    released, at_completion = Event(), []

    def held(report: dict[str, Any]) -> dict[str, Any]:
        assert released.wait(30)
        return report

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await anyio.to_thread.run_sync(ask)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        Timer(0.3, released.set).start()  # later than the app's own end, which only a flush waits for
        await send({"type": "lifespan.shutdown.complete"})

    async def noting(scope: Any, receive: Any, send: Any) -> None:
        async def note(message: Any) -> None:
            if message["type"] == "lifespan.shutdown.complete":
                with Ledger(ledger_path) as ledger:
                    at_completion.extend(ledger.requests())
            await send(message)

        await PayiMiddleware(app, Settings(ledger=ledger_path, redact=held))(scope, receive, note)

    sent = serve(noting, dict(LIFESPAN), {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
    assert [message["type"] for message in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert [record.provider_response_id for record in at_completion] == [provider.requests[0].response_id]


def test_a_failed_startup_is_passed_on(settings: Settings) -> None:
    told = {"type": "lifespan.startup.failed", "message": "the app's own"}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(told)

    assert serve(PayiMiddleware(app, settings), dict(LIFESPAN), {"type": "lifespan.startup"}) == [told]


def test_an_app_without_lifespan_support_says_so_as_it_does_without_us(settings: Settings) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http", "the app's own"

    with pytest.raises(AssertionError, match="the app's own"):
        serve(PayiMiddleware(app, settings), dict(LIFESPAN), {"type": "lifespan.startup"})


@pytest.mark.parametrize(
    ("setting", "value", "fix"),
    [
        ("PAYI_HEADER_WAIT", "soon", "Correct it or leave it out"),
        ("PAYI_HEADER_WAITS", "0.5", "Did you mean PAYI_HEADER_WAIT?"),
        ("PAYI_LEDGER", ".", "or set PAYI_API_KEY or PAYI_BASE_URL"),
        ("PAYI_LEDGER", "late_app.py/payi.db", "or set PAYI_API_KEY or PAYI_BASE_URL"),
    ],
)
def test_a_wrong_setting_in_a_stack_that_is_built_late_fails_the_servers_startup(
    setting: str, value: str, fix: str, tmp_path: Path
) -> None:
    (tmp_path / "late_app.py").write_text(LAZILY_BUILT)
    ended = run_python(tmp_path, "-m", "uvicorn", "late_app:app", "--port", "0", **{setting: value})
    assert ended.returncode not in (0, -9)
    assert f"payi-middleware: {setting}: " in ended.stderr
    assert fix in ended.stderr
    assert "Traceback" not in ended.stderr


def test_without_the_packages_of_the_embedded_ledger_there_is_one_clear_error(tmp_path: Path) -> None:
    ended = run_python(tmp_path, "-c", WITHOUT_SQLALCHEMY)
    assert (ended.returncode, ended.stderr) == (0, "")
    lines = ended.stdout.splitlines()
    assert len(lines) == 2
    assert lines[0] == lines[1]
    assert "pip install 'payi-middleware[local]'" in lines[0]
    assert "PAYI_API_KEY" in lines[0]


def test_without_those_packages_reporting_to_a_service_is_fine(tmp_path: Path) -> None:
    ended = run_python(tmp_path, "-c", WITHOUT_SQLALCHEMY, PAYI_BASE_URL="http://127.0.0.1:9")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_in_a_running_loop_a_wrong_setting_fails_the_startup_and_every_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PAYI_HEADER_WAIT", "soon")

    async def late(scope: Any, receive: Any, send: Any) -> None:
        await PayiMiddleware(late)(scope, receive, send)

    (failed,) = serve(late, dict(LIFESPAN), {"type": "lifespan.startup"})
    assert failed["type"] == "lifespan.startup.failed"
    assert "PAYI_HEADER_WAIT" in failed["message"]
    with pytest.raises(ConfigurationError, match="PAYI_HEADER_WAIT"):
        serve(late, {"type": "http", "headers": []})
