"""When exchanges are read together."""

from __future__ import annotations

import pytest

from payi_middleware.delivery.gathering import Gathering


def test_where_somebody_may_wait_exchanges_are_read_at_once_and_those_that_follow_soon_together() -> None:
    gathering = Gathering()

    gathering.nudge(10.0, wanted=True)
    assert gathering.is_due(10.0)
    gathering.gathered(10.0, 0.0, more=False, company=False, wanted=True)
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
    gathering.gathered(10.001, 0.0, more=True, company=True, wanted=True)
    assert gathering.is_due(10.001)


@pytest.mark.parametrize(("late", "moment"), [(0.01, 0.25), (0.1, 0.8), (5.0, 1.0)])
def test_who_had_to_wait_long_for_the_interpreter_asks_for_it_later_again(late: float, moment: float) -> None:
    gathering = Gathering()

    gathering.nudge(10.0, wanted=False)
    began = 10.25 + late
    assert gathering.is_due(began)
    gathering.gathered(began, 0.0, more=False, company=True, wanted=False)
    assert not gathering.is_due(began + moment - 0.001)
    assert gathering.is_due(began + moment + 0.001)


def test_results_that_are_waited_for_are_looked_for_soon_however_late_the_last_ones_were() -> None:
    gathering = Gathering()

    gathering.nudge(10.0, wanted=True)
    assert gathering.is_due(15.0)
    gathering.gathered(15.0, 0.0, more=False, company=True, wanted=True)
    assert gathering.is_due(15.009)


@pytest.mark.parametrize(("wanted", "moment"), [(True, 0.008), (False, 0.25)])
def test_after_several_at_once_others_are_looked_for_unasked(wanted: bool, moment: float) -> None:
    gathering = Gathering()

    gathering.nudge(10.0, wanted=True)
    gathering.gathered(10.0, 0.0, more=False, company=True, wanted=wanted)
    assert not gathering.is_due(10.0 + moment - 0.001)
    assert gathering.is_due(10.0 + moment + 0.001)


@pytest.mark.parametrize(("busy", "moment"), [(0.0, 0.008), (0.6, 0.008), (0.8, 0.01325), (1.0, 0.05), (3.0, 0.05)])
def test_the_busier_the_process_is_the_more_is_read_at_once(busy: float, moment: float) -> None:
    """And as before within some turns when it is not any more."""
    gathering = Gathering()
    now, cpu = 10.0, 5.0

    def turns(busy: float) -> None:
        nonlocal now, cpu
        for _ in range(60):
            gathering.nudge(now, wanted=True)
            assert gathering.due is not None
            now, cpu = now + 0.01, cpu + 0.01 * busy
            gathering.gathered(now, cpu, more=False, company=False, wanted=True)

    turns(busy)
    assert gathering.moment == pytest.approx(moment, rel=0.01)
    turns(0.0)
    assert gathering.moment == pytest.approx(0.008)
