"""The benchmarks of the service, its proxy and its ledger run, and the committed pages are what they print."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks import proxy, service
from benchmarks.peers import growth

from tests.docs.benchmark_pages import words
from tests.service.databases import postgresql_url

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_of_the_service_is_what_its_benchmark_prints_but_for_the_figures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in (
        ("RECORDS", 1_000),
        ("MANY", 2_500),
        ("SINGLE_SECONDS", 0.5),
        ("HALF_LOAD", 50.0),
        ("PACED_SECONDS", 0.1),
    ):
        monkeypatch.setattr(service, name, value)
    assert words(service.page()) == words((DOCS / "service-benchmarks.md").read_text())


def test_the_page_of_the_proxy_is_what_its_benchmark_prints_but_for_the_figures(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in (("CALLS", 8), ("WARM", 1), ("STREAMS", 1), ("PACED_SECONDS", 0.1)):
        monkeypatch.setattr(proxy, name, value)
    with postgresql_url() as url:
        printed = proxy.page({"SQLite": f"sqlite:///{tmp_path / 'payi.db'}", "PostgreSQL": url})
    assert words(printed) == words((DOCS / "proxy-benchmarks.md").read_text())


def test_the_page_of_the_ledger_is_what_its_benchmark_prints_but_for_the_figures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(growth, "ROWS", (10, 20, 30, 40))
    assert words(growth.page(dict(growth.ledgers()))) == words((DOCS / "ledger-benchmarks.md").read_text())
