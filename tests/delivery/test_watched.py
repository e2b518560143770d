"""Results are asked for where somebody can still look at them."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from payi_middleware import Settings, flush, instrument, result_of
from payi_middleware.delivery import gathering
from payi_middleware.demo.provider import Provider
from tests.delivery.ingest_server import Ingest
from tests.transport.calling import KEY, MESSAGES

ASKED = ("prefer", "return=representation")


def wants_results(ingest: Ingest) -> list[bool]:
    """Say of each bulk request whether it asked for results."""
    return [ASKED in received.headers.items() for received in ingest.received if received.path.endswith("/bulk")]


@pytest.fixture
def client(provider: Provider) -> Any:
    with openai.OpenAI(base_url=provider.openai_url, api_key=KEY) as client:
        yield client


@pytest.fixture
def unread(remote: Settings, ingest: Ingest, client: Any, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings by which nobody waits for results, where a service is known to tell them."""
    settings = remote.model_copy(update={"headers": "off"})
    instrument(settings)
    client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
    assert flush(30)  # the first report of all goes alone
    monkeypatch.setattr(gathering, "_UNWANTED", 3600.0)
    return settings


def test_where_the_app_has_dropped_its_answers_nobody_is_asked_what_they_cost(
    unread: Settings, ingest: Ingest, client: Any
) -> None:
    for _ in range(2):
        client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
    assert flush(30)
    assert wants_results(ingest) == [False]
    assert len(list(ingest.ledger.requests())) == 3


def test_an_answer_that_the_app_has_kept_has_its_result(unread: Settings, ingest: Ingest, client: Any) -> None:
    client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
    kept = client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
    assert flush(30)
    assert wants_results(ingest) == [True]
    result = result_of(kept)
    assert result is not None
    assert result.cost is not None
