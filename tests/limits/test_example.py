"""The example with a budget, run against a ledger that has the limit."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from payi_middleware import parse_headers
from payi_middleware.demo.provider import Provider
from payi_middleware.service.ledger import Ledger

EXAMPLE = Path(__file__).parents[2] / "examples" / "fastapi" / "budget.py"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch, provider: Provider, ledger_path: Path) -> Any:
    monkeypatch.setenv("OPENAI_API_KEY", "key-of-a-test")
    monkeypatch.setenv("OPENAI_BASE_URL", provider.openai_url)
    monkeypatch.setenv("PAYI_LEDGER", str(ledger_path))
    monkeypatch.setenv("PAYI_HEADER_WAIT", "10")
    spec = importlib.util.spec_from_file_location("budget_example", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("spent", "status", "model"),
    [(0, 200, "gpt-4o"), (8_500, 200, "gpt-4o-mini"), (10_000, 402, None)],
    ids=["at first", "near the end", "at the end"],
)
def test_a_cheaper_model_answers_near_the_end_of_the_budget_and_nobody_at_it(
    example: Any, ledger: Ledger, provider: Provider, spent: int, status: int, model: str | None
) -> None:
    ledger.create_limit(limit_name="Team", limit_id="team-budget", max=0.1, limit_type="block", threshold=0.8)
    item = {"category": "system.openai", "resource": "gpt-4o", "limit_ids": ["team-budget"]}
    ledger.ingest({**item, "units": {"text": {"input": 0, "output": spent}}})

    with TestClient(example.app) as client:
        answer = client.post("/chat", json={"message": "Hello"})

    assert answer.status_code == status
    assert [request.body["model"] for request in provider.requests if request.body] == ([model] if model else [])
    assert parse_headers(answer.headers).blocked_limit_ids == (() if model else ("team-budget",))
