"""A dashboard with requests in it, and a browser to look at it with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

from payi_middleware.service.ledger import Ledger
from tests.chromium import PATIENCE, launched
from tests.dashboard.world import fill
from tests.service.conftest import database, ledger
from tests.service_api.serving import Served, served

__all__ = ["database", "ledger"]


@dataclass(frozen=True)
class Site:
    """A service with requests in it, and a key that opens its dashboard."""

    service: Served
    key: str

    @property
    def url(self) -> str:
        """Where it is."""
        return self.service.url

    @property
    def ledger(self) -> Ledger:
        """What it is about."""
        return self.service.ledger

    def client(self) -> httpx.Client:
        """Return a client that has not signed in."""
        return httpx.Client(base_url=self.url, trust_env=False, timeout=60)

    @contextmanager
    def signed_in(self, key: str | None = None) -> Iterator[httpx.Client]:
        """Return a client that has."""
        with self.client() as client:
            answer = client.post("/sign-in", data={"key": key or self.key})
            assert answer.status_code == 303, answer.text
            yield client


@contextmanager
def _site(directory: Path) -> Iterator[Site]:
    with served(f"sqlite:///{directory / 'payi.db'}") as service:
        fill(service.ledger)
        yield Site(service, service.key("default"))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """One that a test may change."""
    with _site(tmp_path) as made:
        yield made


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One that is only looked at."""
    with _site(tmp_path_factory.mktemp("dashboard")) as made:
        yield made


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A real one."""
    with launched() as browser:
        yield browser


def _is_complaint(said: ConsoleMessage) -> bool:
    return said.type == "error" and not said.location["url"].endswith("there-is-none")


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    """A browser without cookies, in which whatever a page complains of fails the test."""
    opened = chromium.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    opened.set_default_timeout(PATIENCE)
    complaints: list[str] = []
    opened.on("console", lambda said: complaints.append(said.text) if _is_complaint(said) else None)
    opened.on("weberror", lambda error: complaints.append(str(error.error)))
    opened.on("request", lambda asked: complaints.append(asked.url) if "//127.0.0.1:" not in asked.url else None)
    yield opened
    opened.close()
    assert complaints == []


@pytest.fixture
def browser(context: BrowserContext, shared: Site) -> Page:
    """A tab that has signed in."""
    page = context.new_page()
    page.goto(f"{shared.url}/sign-in")
    page.get_by_label("API key").fill(shared.key)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Last 30 days").wait_for()
    return page
