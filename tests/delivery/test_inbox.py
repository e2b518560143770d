"""Exchanges lie beside the queue until they are gathered, and the delivering thread is told so once."""

from __future__ import annotations

import queue
from functools import partial
from threading import Event, Thread
from typing import Any

import openai
import pytest

from payi_middleware import Settings, flush, instrument
from payi_middleware.delivery.inbox import Inbox
from payi_middleware.delivery.work import Nudge
from payi_middleware.demo.provider import Provider
from payi_middleware.meter import Meter
from payi_middleware.providers import Match
from tests.delivery.ingest_server import Ingest
from tests.delivery.lying import let_lie
from tests.journal.exchanges import recorded
from tests.transport.calling import KEY, MESSAGES
from tests.waiting import until


def _bring(inbox: Inbox, count: int, *, wanted: bool = False, pressed: bool = False) -> list[Any]:
    match = Match("openai.chat", "system.openai", "openai")
    brought = [recorded(match, b"{}", b"{}") for _ in range(count)]
    for exchange in filter(None, brought):
        inbox.bring(exchange, wanted=wanted, pressed=pressed, most=1_000)
    return brought


def _queued(inbox: Inbox) -> list[Any]:
    items: list[Any] = []
    while True:
        try:
            items.append(inbox.get_nowait())
        except queue.Empty:
            return items


@pytest.mark.parametrize("wanted", [False, True])
def test_many_exchanges_are_announced_once_until_they_are_gathered(wanted: bool) -> None:
    inbox = Inbox()
    first = _bring(inbox, 3, wanted=wanted)
    assert _queued(inbox) == [Nudge(wanted=wanted)]
    assert list(inbox.gather(10)) == first
    _bring(inbox, 1, wanted=wanted)
    assert _queued(inbox) == [Nudge(wanted=wanted)]


def test_when_there_are_many_they_are_announced_as_urgent() -> None:
    inbox = Inbox()
    _bring(inbox, 400)
    assert _queued(inbox) == [Nudge(wanted=False), Nudge(wanted=True)]


@pytest.mark.parametrize(("wanted", "announced"), [(False, [Nudge(wanted=True)]), (True, [])])
def test_who_is_looked_for_anyway_is_not_announced_until_nobody_comes(wanted: bool, announced: list[Nudge]) -> None:
    inbox = Inbox()
    inbox.hush(wanted=wanted)
    brought = [*_bring(inbox, 2), *_bring(inbox, 1, wanted=True)]
    assert _queued(inbox) == announced
    assert list(inbox.gather(10)) == brought
    _bring(inbox, 1)
    assert _queued(inbox) == [Nudge(wanted=False)]


def test_an_exchange_that_somebody_waits_for_is_announced_although_others_are() -> None:
    inbox = Inbox()
    _bring(inbox, 1)
    _bring(inbox, 2, wanted=True)
    assert _queued(inbox) == [Nudge(wanted=False), Nudge(wanted=True)]


def test_where_somebody_looks_unasked_only_what_is_waited_for_is_announced() -> None:
    inbox = Inbox()
    inbox.looked_after = True
    assert list(inbox.gather(10)) == []
    _bring(inbox, 2)
    assert _queued(inbox) == []
    _bring(inbox, 1, wanted=True)
    assert _queued(inbox) == [Nudge(wanted=True)]


def test_who_comes_after_somebody_has_asked_in_vain_is_announced() -> None:
    inbox = Inbox()
    inbox.looked_after = True
    assert list(inbox.gather(10)) == []
    inbox.ask()
    assert list(inbox.gather(10)) == []
    _bring(inbox, 2)
    assert _queued(inbox) == [Nudge(wanted=True, at_once=True), Nudge(wanted=False)]


def test_under_pressure_an_exchange_goes_into_the_queue_itself() -> None:
    inbox = Inbox()
    assert _queued(inbox) == []
    brought = _bring(inbox, 2, pressed=True)
    assert _queued(inbox) == brought


def test_announcements_are_not_counted_as_exchanges() -> None:
    inbox = Inbox()
    _bring(inbox, 2)
    _bring(inbox, 1, wanted=True)
    assert inbox.qsize() == 3
    inbox.get_nowait()
    inbox.heard()
    assert inbox.qsize() == 3


def test_what_is_pulled_out_comes_from_beside_the_queue_first() -> None:
    inbox = Inbox()
    (exchange,) = _bring(inbox, 1)
    assert [inbox.pull(), inbox.pull()] == [exchange, Nudge(wanted=False)]
    with pytest.raises(queue.Empty):
        inbox.pull()


def _has_delivered(meter: Meter, count: int) -> bool:
    return bool(meter.stats()["delivered"] == count)


@pytest.mark.parametrize("journal", [True, False])
def test_a_call_that_nobody_waits_for_is_reported_unasked(
    journal: bool, ingest: Ingest, remote: Settings, provider: Provider
) -> None:
    meter = instrument(remote.model_copy(update={"headers": "off", **({} if journal else {"journal": "off"})}))
    with openai.OpenAI(base_url=provider.openai_url, api_key=KEY) as client:
        for delivered in (1, 2, 3):
            client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
            until(partial(_has_delivered, meter, delivered))
    assert len(list(ingest.ledger.requests())) == 3


def test_exchanges_that_nobody_waits_for_are_read_together(
    ingest: Ingest, remote: Settings, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_lie(monkeypatch)
    read: list[str] = []

    def redact(item: dict[str, Any]) -> dict[str, Any]:
        read.append(item["provider_response_id"])
        return item

    meter = instrument(remote.model_copy(update={"headers": "off", "redact": redact}))
    with openai.OpenAI(base_url=provider.openai_url, api_key=KEY) as client:
        ids = [client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES).id for _ in range(4)]
    assert read == []
    assert meter.stats()["queued"] == 4
    assert flush(30)
    assert read == ids
    assert len(list(ingest.ledger.requests())) == 4


@pytest.mark.parametrize("kept", [False, True])
def test_a_prompt_is_let_go_of_when_its_call_is_on_record_unless_it_is_reported(
    kept: bool, ingest: Ingest, remote: Settings, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_lie(monkeypatch)
    meter = instrument(remote.model_copy(update={"headers": "off", "log_prompt_and_response": kept}))
    with openai.OpenAI(base_url=provider.openai_url, api_key=KEY) as client:
        client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
    (exchange,) = list(meter._delivery._inbox._beside)
    assert (exchange.request is not None) is kept
    assert flush(30)
    (report,) = ingest.ledger.requests()
    assert report.resource == "gpt-4o-mini"


def test_a_flush_does_not_wait_for_calls_that_are_made_meanwhile(
    ingest: Ingest, remote: Settings, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_lie(monkeypatch)
    ended = Event()

    def call() -> None:
        with openai.OpenAI(base_url=provider.openai_url, api_key=KEY) as client:
            client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)

    def redact(item: dict[str, Any]) -> dict[str, Any]:
        if not ended.is_set():  # there is always one more by the time that one has been read
            another = Thread(target=call)
            another.start()
            another.join()
        return item

    instrument(remote.model_copy(update={"headers": "off", "redact": redact}))
    call()
    try:
        assert flush(30)
    finally:
        ended.set()
    assert flush(30)
    assert len(list(ingest.ledger.requests())) >= 2
