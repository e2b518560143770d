"""Results are asked for where somebody can still look at them."""

from __future__ import annotations

from typing import Any

import anyio
import openai
import pytest

from payi_middleware import Settings, aresult_of, flush, instrument, result_of, track_context
from payi_middleware.delivery import dispatcher, gathering
from payi_middleware.delivery.work import Nudge
from payi_middleware.demo.provider import Provider
from payi_middleware.meter import meter_for
from tests.delivery.ingest_server import Ingest
from tests.delivery.lying import let_lie
from tests.transport.calling import KEY, MESSAGES
from tests.waiting import until

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
    let_lie(monkeypatch)
    instrument(settings)
    client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
    assert flush(30)  # the first report of all goes alone
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


async def _asked(answer: Any) -> Any:
    return await aresult_of(answer, timeout=30)


def _blocked(answer: Any) -> Any:
    return result_of(answer, timeout=30)


@pytest.mark.parametrize("asking", [_blocked, lambda answer: anyio.run(_asked, answer)])
@pytest.mark.parametrize("gathered", [False, True])
def test_whoever_asks_for_the_result_of_a_call_outside_requests_does_not_wait_for_others(
    unread: Settings, client: Any, monkeypatch: pytest.MonkeyPatch, asking: Any, gathered: bool
) -> None:
    monkeypatch.setattr(dispatcher, "_LINGER", 3600.0)
    if gathered:
        monkeypatch.setattr(gathering, "_UNWANTED", 0.0)
    answer = client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
    if gathered:
        delivery = meter_for(unread)._delivery
        delivery._inbox.put(Nudge(wanted=False))
        deliverer = delivery._dispatcher
        assert deliverer is not None
        until(lambda: bool(deliverer.stock.waiting))
    assert asking(answer).cost is not None


def test_calls_outside_requests_and_blocks_are_delivered_together_although_requests_are_told_results(
    unread: Settings, remote: Settings, ingest: Ingest, client: Any
) -> None:
    assert remote.headers != "off"
    instrument(remote)
    client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
    assert flush(30)  # the first of these settings
    before = len(ingest.received)
    for _ in range(5):
        client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
    assert flush(30)
    assert len(ingest.received) == before + 1
    with track_context(user_id="alice"):
        for number in range(2):
            client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
            until(lambda: len(ingest.received) == before + 2 + number)  # noqa: B023 - it is over before the next
