"""Web requests that all wait for results have what has come read at once."""

from __future__ import annotations

from payi_middleware.delivery.gathering import Gathering
from payi_middleware.delivery.inbox import Inbox
from payi_middleware.delivery.presence import Presence
from payi_middleware.delivery.work import Nudge
from payi_middleware.providers import Match
from tests.journal.exchanges import recorded


def presence() -> tuple[Presence, list[bool]]:
    hurried: list[bool] = []
    return Presence(lambda: hurried.append(True)), hurried


ALICE, BOB, CAROL = object(), object(), object()


def test_the_only_request_has_it_hurried_as_soon_as_it_waits() -> None:
    requests, hurried = presence()
    requests.come(ALICE)
    assert hurried == []
    requests.wait(ALICE)
    assert hurried == [True]


def test_as_long_as_one_request_does_something_else_the_others_wait_for_its_calls() -> None:
    requests, hurried = presence()
    for request in (ALICE, BOB, CAROL):
        requests.come(request)
    requests.wait(ALICE)
    requests.wait(BOB)
    assert hurried == []
    requests.wait(CAROL)
    assert hurried == [True]


def test_where_the_last_one_that_does_something_else_ends_the_others_wait_for_nobody() -> None:
    requests, hurried = presence()
    requests.come(ALICE)
    requests.come(BOB)
    requests.wait(ALICE)
    requests.go(BOB)
    assert hurried == [True]


def test_where_none_waits_nothing_is_hurried() -> None:
    requests, hurried = presence()
    requests.come(ALICE)
    requests.wait(ALICE)
    requests.go_on(ALICE)
    requests.go(ALICE)
    requests.come(BOB)
    requests.go(BOB)
    assert hurried == [True]


def test_what_lies_beside_the_queue_is_read_at_once_and_nobody_is_woken_for_nothing() -> None:
    inbox = Inbox()
    inbox.hurry()
    assert inbox.qsize() == 0
    exchange = recorded(Match("openai.chat", "system.openai", "openai"), b"{}", b"{}")
    assert exchange is not None
    inbox.bring(exchange, wanted=True, pressed=False, most=10)
    inbox.hurry()
    assert [inbox.get_nowait(), inbox.get_nowait()] == [Nudge(wanted=True), Nudge(wanted=True, at_once=True)]


def test_what_is_hurried_does_not_wait_until_the_moment_is_over() -> None:
    gathering = Gathering()
    gathering.nudge(10.0, wanted=True)
    gathering.gathered(10.0, 0.0, more=False, company=True, wanted=True)
    gathering.nudge(10.001, wanted=True)
    assert not gathering.is_due(10.001)
    gathering.nudge(10.001, wanted=True, at_once=True)
    assert gathering.is_due(10.001)
