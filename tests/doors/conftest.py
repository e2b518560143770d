"""What the tests of the doors share: a provider's SDK, and a ledger to read back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from openai import OpenAI

from payi_middleware import flush
from payi_middleware.demo.provider import Provider
from payi_middleware.service.accounts.records import RequestRecord
from payi_middleware.service.ledger import Ledger

Ask = Callable[..., str]


@pytest.fixture
def ask(provider: Provider) -> Iterator[Ask]:
    """Make one provider call as an app does, blocking; returns the provider's id of the response."""
    with OpenAI(base_url=provider.openai_url, api_key="none", max_retries=0) as client:

        def ask_provider(prompt: str = "Hello?", **headers: str) -> str:
            answer = client.chat.completions.create(
                model="gpt-4o-mini", messages=[{"role": "user", "content": prompt}], extra_headers=headers
            )
            return answer.id

        yield ask_provider


@pytest.fixture
def records(ledger_path: Path) -> Callable[[], list[RequestRecord]]:
    """Deliver what is under way and return what was booked, oldest first."""

    def read() -> list[RequestRecord]:
        assert flush(10)
        if not ledger_path.exists():
            return []
        with Ledger(ledger_path) as ledger:
            return ledger.requests(limit=1000, newest_first=False)

    return read
