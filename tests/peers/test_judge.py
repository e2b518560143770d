"""Quick mode fails where we have become slower, and not where the machine has."""

from __future__ import annotations

from benchmarks.peers.judge import Reading, judged

BASELINE = {"plain call": 0.06, "other host": 0.0}


def test_what_the_baseline_says_is_no_regression() -> None:
    assert judged(BASELINE, {"plain call": Reading(0.06, 0.001), "other host": Reading(0.0, 0.001)}) == []


def test_twice_as_much_in_a_calm_run_is_a_regression() -> None:
    [told] = judged(BASELINE, {"plain call": Reading(0.13, 0.001)})
    assert told.startswith("plain call: adds 13.0% of what bare takes; 6.0% in the baseline")


def test_twice_as_much_is_none_where_the_run_is_that_noisy() -> None:
    assert judged(BASELINE, {"plain call": Reading(0.13, 0.03)}) == []


def test_much_more_is_a_regression_in_a_noisy_run_too() -> None:
    assert len(judged(BASELINE, {"plain call": Reading(0.5, 0.03)})) == 1


def test_next_to_nothing_may_double() -> None:
    assert judged(BASELINE, {"other host": Reading(0.01, 0.0)}) == []


def test_faster_is_no_regression() -> None:
    assert judged(BASELINE, {"plain call": Reading(-0.02, 0.001)}) == []


def test_a_case_that_the_baseline_does_not_know_is_told() -> None:
    assert judged(BASELINE, {"new": Reading(0.0, 0.0)}) == ["new: not in the baseline"]


def test_where_others_use_the_machine_only_as_much_again_as_bare_counts() -> None:
    assert judged(BASELINE, {"plain call": Reading(0.9, 0.01)}, crowded=True) == []
    assert len(judged(BASELINE, {"plain call": Reading(1.1, 0.01)}, crowded=True)) == 1


def test_a_baseline_below_nothing_was_noise_and_is_taken_for_nothing() -> None:
    assert judged({"other host": -0.05}, {"other host": Reading(0.02, 0.001)}) == []
    assert len(judged({"other host": -0.05}, {"other host": Reading(0.04, 0.001)})) == 1
