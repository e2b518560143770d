"""When it is tried again: the clock is the test's own, and nobody waits."""

from __future__ import annotations

import pytest

from payi_middleware.delivery.pacing import LONGEST_PAUSE, Pacing

LONGEST_ASKED = 10 * LONGEST_PAUSE


@pytest.fixture
def longest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jitter that is as long as it may be."""
    monkeypatch.setattr("random.uniform", lambda _, most: most)


def _fail(paced: Pacing, now: float, **told: float | bool) -> float:
    """Let an attempt fail, and return the seconds until the next."""
    paced.fail(now, begun=paced.begin(), **told)  # type: ignore[arg-type]
    pause = paced.pause(now)
    assert pause is not None
    return pause


def test_nothing_is_held_back_before_something_has_failed() -> None:
    paced = Pacing()
    for _ in range(20):
        assert paced.may_send(0.0)
        paced.begin()
    assert (paced.failing, paced.pause(0.0), paced.batch) == (False, 0.0, 500)


@pytest.mark.usefixtures("longest")
def test_pauses_double_up_to_a_bound_and_stay_there() -> None:
    paced, now, pauses = Pacing(), 0.0, []
    for _ in range(2000):
        pauses.append(_fail(paced, now))
        now += pauses[-1]
    assert pauses[:9] == pytest.approx([0.25, 0.5, 1, 2, 4, 8, 16, LONGEST_PAUSE, LONGEST_PAUSE])
    assert pauses[-1] == pytest.approx(LONGEST_PAUSE)


def test_pauses_are_spread_over_their_whole_length() -> None:
    lengths = []
    for _ in range(300):
        paced = Pacing()
        for _ in range(10):
            length = _fail(paced, 0.0)
        lengths.append(length)
    assert 0 <= min(lengths) < LONGEST_PAUSE / 10
    assert LONGEST_PAUSE * 9 / 10 < max(lengths) <= LONGEST_PAUSE


def test_one_attempt_is_let_through_when_the_pause_is_over_and_its_outcome_is_awaited() -> None:
    paced = Pacing()
    pause = _fail(paced, 100.0, retry_after=5.0)
    assert not paced.may_send(100.0 + pause - 0.001)
    assert paced.may_send(100.0 + pause)
    paced.begin()
    assert not paced.may_send(1e9)
    assert paced.pause(1e9) is None
    paced.succeed(1e9, 1)
    assert (paced.failing, paced.may_send(1e9)) == (False, True)


@pytest.mark.usefixtures("longest")
def test_a_success_forgets_the_failures_before_it() -> None:
    paced = Pacing()
    for now in range(0, 1000, 100):
        _fail(paced, float(now))
    paced.begin()
    paced.succeed(1000.0, 1)
    assert _fail(paced, 1000.0) == pytest.approx(0.25)


@pytest.mark.parametrize(("asked", "waited"), [(0.0, 0.0), (7.0, 7.0), (1e9, LONGEST_ASKED)])
def test_what_the_service_asks_for_is_waited_for_up_to_a_bound(asked: float, waited: float) -> None:
    assert waited <= _fail(Pacing(), 50.0, retry_after=asked) <= waited + 0.25


def test_somebody_who_waits_has_it_tried_before_the_pause_is_over_but_not_all_the_time() -> None:
    paced = Pacing()
    for now in range(0, 1000, 100):
        _fail(paced, float(now))
    paced.hurry(900.0)
    assert paced.pause(900.0) <= 0.25  # type: ignore[operator]
    paced.hurry(950.0)
    assert paced.may_send(950.0)


def test_somebody_who_waits_does_not_have_it_tried_before_the_service_allows_it() -> None:
    paced = Pacing()
    _fail(paced, 0.0, retry_after=60.0)
    paced.hurry(1.0)
    assert not paced.may_send(59.9)
    assert paced.may_send(60.0)


def test_hurry_does_nothing_while_all_is_well() -> None:
    paced = Pacing()
    paced.hurry(0.0)
    assert paced.may_send(0.0)


@pytest.mark.usefixtures("longest")
def test_attempts_that_were_under_way_together_count_as_one_failure() -> None:
    paced = Pacing()
    begun = [paced.begin() for _ in range(8)]
    for now, one in enumerate(begun):
        paced.fail(float(now), begun=one)
    assert (paced.failures, paced.pause(0.25)) == (1, 0.0)


def test_a_late_failure_does_not_end_the_wait_for_the_attempt_that_was_let_through() -> None:
    paced = Pacing()
    late, first = paced.begin(), paced.begin()
    paced.fail(0.0, begun=first)
    paced.begin()
    paced.fail(1.0, begun=late)
    assert paced.pause(1e9) is None


@pytest.mark.parametrize("recovered", [False, True])
def test_a_late_answer_that_asks_for_a_pause_gets_it(recovered: bool) -> None:
    paced = Pacing()
    late, first = paced.begin(), paced.begin()
    paced.fail(0.0, begun=first)
    if recovered:
        paced.begin()
        paced.succeed(1.0, 1)
    paced.fail(2.0, begun=late, retry_after=30.0)
    assert not paced.may_send(31.9)
    assert paced.may_send(32.5)


def test_what_was_accepted_while_the_service_asked_for_a_pause_does_not_end_it() -> None:
    paced = Pacing()
    begun = [paced.begin(), paced.begin()]
    paced.fail(0.0, begun=begun[0], retry_after=30.0)
    paced.succeed(0.1, 1)
    assert paced.failing
    assert not paced.may_send(29.9)
    assert paced.may_send(30.5)


def test_what_is_sent_shrinks_to_one_report_while_it_may_be_the_reason_and_grows_again() -> None:
    paced, batches = Pacing(), []
    for _ in range(6):
        _fail(paced, 0.0, poison=True)
        batches.append(paced.batch)
    assert batches == [125, 31, 7, 1, 1, 1]
    for _ in range(6):
        paced.begin()
        paced.succeed(0.0, paced.batch)
        batches.append(paced.batch)
    assert batches[6:] == [4, 16, 64, 256, 500, 500]


def test_what_is_sent_does_not_grow_again_by_the_success_of_a_few() -> None:
    paced = Pacing()
    for _ in range(2):
        _fail(paced, 0.0, poison=True)
    paced.begin()
    paced.succeed(0.0, 1)
    assert paced.batch == 31
    paced.succeed(0.0, 16)
    assert paced.batch == 124


def test_what_is_sent_grows_the_later_the_more_often_that_was_too_much() -> None:
    paced, most, tried = Pacing(), 20, []
    for _ in range(200):
        begun = paced.begin()
        tried.append(paced.batch)
        if paced.batch > most:
            paced.fail(0.0, begun=begun, count=paced.batch, poison=True)
        else:
            paced.succeed(0.0, paced.batch)
    assert sum(batch > most for batch in tried) < 12
    for _ in range(400):
        paced.succeed(0.0, paced.batch)
    assert paced.batch == 500


def test_an_outage_does_not_keep_what_is_sent_from_growing_after_it() -> None:
    paced = Pacing()
    for _ in range(300):
        paced.fail(0.0, begun=paced.begin(), count=paced.batch, poison=True)
    sent = 0
    while paced.batch < 500:
        paced.succeed(0.0, paced.batch)
        sent += 1
    assert sent < 20


def test_what_is_sent_stays_as_it_is_where_the_service_has_too_much_to_do() -> None:
    paced = Pacing()
    _fail(paced, 0.0, retry_after=1.0)
    assert paced.batch == 500
