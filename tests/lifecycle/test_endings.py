"""What is still coming in when the interpreter ends is reported, too, with what was seen of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from payi_middleware.demo.provider import Provider
from tests.lifecycle.company import KILLED, Stage, asked_of, assert_booked_once, booked


@pytest.mark.parametrize("play", ["stream_is_kept", "stream_is_unread", "async_stream_is_kept", "daemon_reads_on"])
def test_a_stream_that_is_open_in_the_end_is_reported_once(
    theatre: Stage, provider: Provider, remote_ledger: Path, settings: dict[str, Any], play: str
) -> None:
    theatre.play(f"endings:{play}", settings=settings)
    (report,) = booked(remote_ledger)
    (asked,) = asked_of(provider)
    if play != "stream_is_unread":  # nothing of it has come, not even its id
        assert report.provider_response_id == asked
    assert (report.http_status_code, report.failed) == (200, False)
    assert "system.stream" in report.properties


def test_calls_that_daemon_threads_make_up_to_the_very_end_are_delivered_by_the_next_process(
    theatre: Stage, provider: Provider, remote_ledger: Path, settings: dict[str, Any]
) -> None:
    told = theatre.play("endings:daemon_asks_on", settings=settings).told
    theatre.adopt(settings)
    assert_booked_once(remote_ledger, {None: told}, asked_of(provider))


def test_a_call_that_ends_after_close_is_on_record_again(
    theatre: Stage, provider: Provider, remote_ledger: Path, settings: dict[str, Any]
) -> None:
    (outcome,) = theatre.put_on([{"play": "endings:stream_outlives_close", "with": {"settings": settings}}])
    assert (outcome.status, outcome.errors) == (KILLED, "")
    theatre.adopt(settings)
    assert_booked_once(remote_ledger, {None: outcome.told}, asked_of(provider))


@pytest.mark.parametrize("with_journal", [True, False])
@pytest.mark.parametrize("ending", ["call_ends_within_close", "stream_ends_within_close"])
def test_a_call_that_ends_within_close_is_delivered(
    theatre: Stage, provider: Provider, remote_ledger: Path, settings: dict[str, Any], ending: str, with_journal: bool
) -> None:
    told = theatre.play(f"endings:{ending}", settings=settings if with_journal else {**settings, "journal": "off"}).told
    assert_booked_once(remote_ledger, {None: told}, asked_of(provider))
