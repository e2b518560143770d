"""One line per kind of trouble per minute."""

from __future__ import annotations

import logging

import pytest

from payi_middleware import log


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_a_kind_of_trouble_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    for number in range(1_000):
        log.warn("ingest", "Pay-i cannot be reached: %s", f"Error{number}")

    assert said(caplog) == ["Pay-i cannot be reached: Error0"]
    assert caplog.records[0].levelno == logging.WARNING
    assert caplog.records[0].name == "payi_middleware"


def test_kinds_do_not_hide_each_other(caplog: pytest.LogCaptureFixture) -> None:
    log.warn("a", "first")
    log.warn("b", "second")

    assert said(caplog) == ["first", "second"]


def test_what_was_not_said_is_counted_the_next_time(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(4):
        log.warn("a", "trouble with %s", "x")
    monkeypatch.setattr(log, "INTERVAL", 0.0)  # the minute is over
    log.warn("a", "trouble with %s", "y")
    log.warn("a", "trouble with %s", "z")

    assert said(caplog) == [
        "trouble with x",
        "trouble with y (3 more of this kind since the last line)",
        "trouble with z",
    ]


def test_after_a_reset_everything_is_news(caplog: pytest.LogCaptureFixture) -> None:
    log.warn("a", "trouble")
    log.warn("a", "trouble")
    log.reset()
    log.warn("a", "trouble")

    assert said(caplog) == ["trouble", "trouble"]
