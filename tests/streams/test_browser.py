"""A page of another origin, in real Chromium, reads what a stream cost: by fetch and by EventSource."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from payi_middleware import Settings, Summary
from payi_middleware.demo.provider import Provider
from tests.attribution.asgi_serving import serving
from tests.chromium import PATIENCE, launched
from tests.streams.chat_apps import fastapi_app
from tests.streams.conftest import Options

READ = """async ([url, user]) => {
    const asked = {model: "gpt-4o-mini", stream: true, messages: [{role: "user", content: "Hello?"}]};
    const headers = {"Content-Type": "application/json", "X-User-ID": user};
    const response = await fetch(url, {method: "POST", headers, body: JSON.stringify(asked)});
    const seen = Object.fromEntries([...response.headers].filter(([name]) => name.startsWith("x-payi-")));
    const text = await response.text();
    const events = text.split("\\n\\n").filter(event => event.startsWith("event: payi\\n"));
    const event = JSON.parse(events[0].split("\\ndata: ")[1]);
    const route = new URL(seen["x-payi-results"], response.url);
    const mine = await fetch(route, {headers});
    const theirs = await fetch(route, {headers: {...headers, "X-User-ID": "bob"}});
    return {seen, event, count: events.length, route: await mine.json(), theirs: theirs.status};
}"""
LISTEN = """url => new Promise((resolve) => {
    const source = new EventSource(url), plain = [];
    source.onmessage = event => plain.push(event.data);
    source.addEventListener("payi", event => { source.close(); resolve({plain, event: JSON.parse(event.data)}); });
})"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A real one."""
    with launched() as browser:
        yield browser


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *given: Any) -> None:
        """Say nothing."""


@pytest.fixture
def origin(tmp_path: Path) -> Iterator[str]:
    """Another origin, with a page."""
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "index.html").write_text("<!doctype html><link rel=icon href=data:><title>A page</title>")
    handler = partial(_Quiet, directory=str(tmp_path / "page"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture
def page(chromium: Browser, origin: str) -> Iterator[Page]:
    """A page of the other origin."""
    context = chromium.new_context()
    context.set_default_timeout(PATIENCE)
    opened = context.new_page()
    opened.goto(f"{origin}/index.html")
    yield opened
    context.close()


@pytest.fixture
def settings(options: Options) -> Settings:
    """With everything that a browser can read."""
    return Settings(**options, sse_summary=True, results_path="/payi")


def test_a_script_of_another_origin_reads_headers_event_and_route(
    page: Page, origin: str, provider: Provider, settings: Settings
) -> None:
    with serving(fastapi_app(provider, settings, origin=origin)) as address:
        found = page.evaluate(READ, [f"http://{address}/v1/chat/completions", "alice"])
    event, route = Summary.model_validate(found["event"]), Summary.model_validate(found["route"])

    assert found["seen"]["x-payi-status"] == "pending"
    assert found["count"] == 1
    assert (event.calls, event.status) == (1, "final")
    assert (event.cost or 0) > 0
    assert route == event
    assert found["theirs"] == 404


def test_an_event_source_takes_the_event_for_none_of_its_messages(
    page: Page, origin: str, provider: Provider, settings: Settings
) -> None:
    app = fastapi_app(provider, settings, origin=origin)
    with serving(app) as address:
        found = page.evaluate(LISTEN, f"http://{address}/listen")
    event = Summary.model_validate(found["event"])

    assert found["plain"][-1] == "[DONE]"
    assert (event.calls, event.status) == (1, "final")
    assert (event.cost or 0) > 0
