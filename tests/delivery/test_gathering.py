"""When exchanges are read together."""

from __future__ import annotations

import pytest

from payi_middleware.delivery.gathering import Gathering


def test_where_somebody_may_wait_exchanges_are_read_at_once_and_those_that_follow_soon_together() -> None:
    gathering = Gathering()

    gathering.nudge(10.0, wanted=True)
    assert gathering.is_due(10.0)
    gathering.gathered(10.0, more=False)
    assert gathering.due is None

    gathering.nudge(10.001, wanted=True)
    assert not gathering.is_due(10.007)
    assert gathering.is_due(10.009)


def test_where_nobody_waits_they_are_left_to_come_until_somebody_does() -> None:
    gathering = Gathering()

    gathering.nudge(10.0, wanted=False)
    assert not gathering.is_due(10.02)
    gathering.nudge(10.02, wanted=True)
    assert gathering.is_due(10.02)


def test_what_was_left_is_read_next() -> None:
    gathering = Gathering()

    gathering.nudge(10.0, wanted=True)
    assert gathering.is_due(10.0)
    gathering.gathered(10.001, more=True)
    assert gathering.is_due(10.001)


@pytest.mark.parametrize(("late", "moment"), [(0.0, 0.008), (0.005, 0.02), (1.0, 0.04)])
def test_the_later_the_thread_is_the_more_it_reads_at_once(late: float, moment: float) -> None:
    """It is late where the app needs the interpreter all the time; it catches up within some turns when it does not."""
    gathering = Gathering()

    def turns(now: float, late: float) -> float:
        for _ in range(60):
            gathering.nudge(now, wanted=True)
            assert gathering.due is not None
            now = gathering.due + late
            assert gathering.is_due(now)
            gathering.gathered(now, more=False)
        return now

    now = turns(10.0, late)
    assert gathering.moment == pytest.approx(moment, rel=0.01)
    turns(now, 0.0)
    assert gathering.moment == pytest.approx(0.008)
