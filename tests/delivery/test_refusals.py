"""What the service says no to: buried with its reason, sent again without what it was refused for, or tried later."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import openai
import pytest

from payi_middleware import IngestError, IngestRefusedError, Settings, flush, instrument, result_of, track_context
from payi_middleware.delivery import stock
from payi_middleware.demo.provider import Provider
from payi_middleware.ingest import IngestClient
from payi_middleware.meter import Meter
from tests.delivery.ingest_server import PAYI_KEY, Ingest, Refusal
from tests.delivery.left import damage, letters, stored
from tests.transport.calling import KEY, MESSAGES
from tests.waiting import until

BLOCKING = "blocking_limit_not_allowed"


def _call(provider: Provider, count: int = 1, **context: Any) -> list[Any]:
    with openai.OpenAI(base_url=provider.openai_url, api_key=KEY, max_retries=0) as client, track_context(**context):
        return [client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES) for _ in range(count)]


def _call_until_refused(provider: Provider, meter: Meter, count: int) -> list[Any]:
    """Make calls whose reports are accepted, which shows that the service fails at others for what they are."""
    good: list[Any] = []
    while meter.stats()["refused"] < count:
        good += _call(provider, user_id="good")
        assert result_of(good[-1], timeout=30).request_id
        assert len(good) < 100
    # Had the refusal been the last that was heard, results would be waited for after this one only.
    good += _call(provider, user_id="good")
    assert result_of(good[-1], timeout=30).request_id
    return good


def _judge(refusal: Refusal, user_id: str = "bad") -> Callable[[dict[str, Any]], Refusal | None]:
    return lambda item: refusal if item.get("user_id") == user_id else None


def _booked(ingest: Ingest) -> set[str | None]:
    return {request.provider_response_id for request in ingest.ledger.requests(limit=10_000)}


@pytest.fixture
def spilling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports go to the journal as soon as the sink fails, and not after the 200th."""
    monkeypatch.setattr(stock, "_SPILL_FAILING", 0)


# --- refused for good -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("headers", ["summary", "off"])
@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "required_field_missing"),
        (401, "invalid_api_key"),
        (403, "forbidden"),
        (404, "limit_not_found"),
        (409, "limit_name_already_exist"),
        (422, "unprocessable"),
    ],
)
def test_a_report_that_is_refused_is_kept_with_the_reason_counted_and_told_to_who_asks(
    ingest: Ingest, remote: Settings, provider: Provider, status: int, code: str, headers: Any
) -> None:
    settings = remote.model_copy(update={"headers": headers})
    meter = instrument(settings)
    ingest.judge = _judge(Refusal(status, code, "not like this"))
    (good,) = _call(provider, user_id="good")
    assert result_of(good, timeout=30).request_id
    (bad,) = _call(provider, user_id="bad")
    with pytest.raises(IngestRefusedError) as refused:
        result_of(bad, timeout=30)
    assert (refused.value.status, refused.value.code, refused.value.message) == (status, code, "not like this")
    assert flush(30)
    (letter,) = letters(settings)
    assert (letter.status, letter.code, letter.message) == (status, code, "not like this")
    assert bad.id.encode() in letter.row.item
    stats = meter.stats()
    assert (stats["refused"], stats["delivered"], stats["retried"], stats["queued"]) == (1, 1, 0, 0)
    assert stats["last_error"] == f"HTTP {status} {code}"
    assert meter.available
    assert _booked(ingest) == {good.id}


@pytest.mark.parametrize("tells_results", [True, False])
@pytest.mark.parametrize(
    ("refusal", "as_a_whole"),
    [(Refusal(400, "told_to"), False), (Refusal(400), True), (Refusal(413), True), (Refusal(422), True)],
)
def test_of_a_bulk_with_good_and_bad_reports_only_the_bad_are_buried(
    ingest: Ingest, remote: Settings, provider: Provider, refusal: Refusal, as_a_whole: bool, tells_results: bool
) -> None:
    settings = remote.model_copy(update={"headers": "off"})
    meter = instrument(settings)
    ingest.judge, ingest.as_a_whole, ingest.tells_results = _judge(refusal), as_a_whole, tells_results
    good = _call(provider, user_id="good")
    assert flush(30)
    good += _call(provider, 20, user_id="good")
    bad = _call(provider, 2, user_id="bad")
    good += _call(provider, 28, user_id="good")
    bad += _call(provider, 1, user_id="bad")
    assert flush(30)
    assert _booked(ingest) == {answer.id for answer in good}
    assert sorted(letter.row.item.count(answer.id.encode()) for letter in letters(settings) for answer in bad) == [
        0, 0, 0, 0, 0, 0, 1, 1, 1,
    ]  # fmt: skip
    assert {letter.status for letter in letters(settings)} == {refusal.status}
    assert max(len(received.body) for received in ingest.received if received.path.endswith("/bulk")) > 3
    stats = meter.stats()
    assert (stats["refused"], stats["delivered"], stats["queued"], stats["dropped"]) == (3, len(good), 0, 0)
    assert result_of(good[-1], timeout=30).request_id
    with pytest.raises(IngestRefusedError):
        result_of(bad[0], timeout=30)


# --- a report that the service fails at -----------------------------------------------------------------------------


@pytest.mark.usefixtures("short_pauses")
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("tells_results", [True, False])
@pytest.mark.parametrize("count", [1, 3])
def test_a_report_at_which_the_service_fails_does_not_hold_up_others_and_is_buried_in_the_end(
    ingest: Ingest, remote: Settings, provider: Provider, first: bool, tells_results: bool, count: int
) -> None:
    meter = instrument(remote)
    ingest.judge, ingest.tells_results = _judge(Refusal(500, "unexpected_error"), "poison"), tells_results
    good = [] if first else _call(provider, 5)
    poison = _call(provider, count, user_id="poison")
    until(lambda: meter.stats()["retried"] > 3)
    good += _call_until_refused(provider, meter, count)
    assert flush(30)
    assert _booked(ingest) == {answer.id for answer in good}
    assert [(letter.status, letter.code) for letter in letters(remote)] == [(500, "unexpected_error")] * count
    with pytest.raises(IngestRefusedError, match="500"):
        result_of(poison[0], timeout=30)
    assert meter.stats()["delivered"] == len(good)
    assert meter.available


@pytest.mark.usefixtures("short_pauses", "spilling")
def test_a_stored_report_at_which_the_service_fails_does_not_hold_up_those_behind_it(
    ingest: Ingest, remote: Settings, provider: Provider
) -> None:
    meter = instrument(remote)
    ingest.mode, ingest.judge = 503, _judge(Refusal(500), "poison")
    poison = _call(provider, user_id="poison")
    good = _call(provider, 20, user_id="good")
    until(lambda: stored(remote) == 21)
    ingest.mode = "ok"
    for answer in good:
        assert result_of(answer, timeout=30).request_id
    good += _call_until_refused(provider, meter, 1)
    assert flush(30)
    assert _booked(ingest) == {answer.id for answer in good}
    with pytest.raises(IngestRefusedError, match="500"):
        result_of(poison[0], timeout=30)


@pytest.mark.usefixtures("short_pauses", "spilling")
def test_a_report_in_memory_at_which_the_service_fails_does_not_hold_up_the_stored_ones(
    ingest: Ingest, remote: Settings, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter = instrument(remote)
    ingest.mode, ingest.judge = 503, _judge(Refusal(500), "poison")
    good = _call(provider, 10, user_id="good")
    poison = _call(provider, 1, user_id="poison")
    until(lambda: stored(remote) == 11)
    monkeypatch.setattr(stock, "_SPILL_FAILING", 200)
    poison += _call(provider, 2, user_id="poison")
    ingest.mode = "ok"
    for answer in good:
        assert result_of(answer, timeout=30).request_id
    assert _booked(ingest) == {answer.id for answer in good}
    ingest.judge = None
    assert flush(30)
    assert meter.stats()["delivered"] == 13


@pytest.mark.usefixtures("short_pauses")
@pytest.mark.parametrize("place", ["memory", "journal"])
def test_a_bulk_that_fails_as_a_whole_is_taken_apart_in_few_steps(
    ingest: Ingest, remote: Settings, provider: Provider, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stock, "_SPILL_FAILING", 0 if place == "journal" else 1000)
    meter = instrument(remote)
    ingest.judge, ingest.as_a_whole, ingest.mode = _judge(Refusal(500), "poison"), True, 503
    good = _call(provider, 200, user_id="good")
    poison = _call(provider, user_id="poison")
    good += _call(provider, 200, user_id="good")
    until(lambda: not meter.available and meter.stats()["queued"] == 401)
    ingest.received.clear()
    ingest.mode = "ok"
    until(lambda: meter.stats()["delivered"] == 400)
    assert len(ingest.received) < 200
    assert _booked(ingest) == {answer.id for answer in good}
    _call_until_refused(provider, meter, 1)
    with pytest.raises(IngestRefusedError, match="500"):
        result_of(poison[0], timeout=30)


@pytest.mark.usefixtures("short_pauses", "spilling")
def test_a_flush_waits_for_a_stored_report_that_was_put_behind_others(
    ingest: Ingest, remote: Settings, provider: Provider
) -> None:
    meter = instrument(remote)
    ingest.mode, ingest.judge = 503, _judge(Refusal(500), "poison")
    _call(provider, user_id="poison")
    _call(provider, 3, user_id="good")
    until(lambda: stored(remote) == 4)
    ingest.mode = "ok"
    assert not flush(0.5)
    until(lambda: (meter.stats()["delivered"], meter.stats()["queued"]) == (3, 1))
    ingest.judge = None
    assert flush(30)
    assert meter.stats()["delivered"] == 4


@pytest.mark.usefixtures("short_pauses")
@pytest.mark.parametrize("spills", [False, True])
@pytest.mark.parametrize("status", [500, 503])
def test_a_service_that_fails_at_everything_for_long_buries_nothing(
    ingest: Ingest, remote: Settings, provider: Provider, status: int, spills: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stock, "_SPILL_FAILING", 0 if spills else 200)
    meter = instrument(remote)
    good = _call(provider)
    assert flush(30)
    ingest.mode = status
    good += _call(provider, 10)
    until(lambda: meter.stats()["retried"] > 40)
    good += _call(provider, 10)
    assert meter.stats()["refused"] == 0
    ingest.mode = "ok"
    assert flush(30)
    assert _booked(ingest) == {answer.id for answer in good}
    assert (meter.stats()["refused"], meter.stats()["delivered"], letters(remote)) == (0, 21, [])


# --- Retry-After ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("told", "least", "most"),
    [
        ("120", 120, 120),
        ("0", 0, 0),
        (lambda: format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True), 3000, 3600),
        (lambda: format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True), 0, 0),
        (lambda: format_datetime(datetime.now(UTC) + timedelta(hours=1)).replace("+0000", "-0000"), 3000, 3600),
    ],
)
def test_the_service_may_say_when_it_is_tried_again(
    ingest: Ingest, told: str | Callable[[], str], least: float, most: float, status: int
) -> None:
    ingest.mode = status
    ingest.headers = {"retry-after": told if isinstance(told, str) else told()}
    client = IngestClient(ingest.url, PAYI_KEY, timeout=10, connections=1)
    with pytest.raises(IngestRefusedError) as refused:
        client.send_many([b"{}"])
    client.close()
    assert refused.value.retry_after is not None
    assert least <= refused.value.retry_after <= most


@pytest.mark.parametrize("told", ["", "soon", "-5", "1.5", "Wed, 99 Nov 2099 99:99:99 GMT", "²", "9" * 400])
def test_what_is_no_time_to_try_again_is_ignored_or_bounded(ingest: Ingest, told: str) -> None:
    ingest.mode, ingest.headers = 429, {"retry-after": told.encode().decode("latin-1")}
    client = IngestClient(ingest.url, PAYI_KEY, timeout=10, connections=1)
    with pytest.raises(IngestRefusedError) as refused:
        client.send_many([b"{}"])
    client.close()
    assert refused.value.retry_after is None or refused.value.retry_after >= 1e8


@pytest.mark.parametrize("status", [429, 503])
def test_not_even_a_flush_asks_a_service_before_the_time_it_has_named(
    ingest: Ingest, remote: Settings, provider: Provider, status: int
) -> None:
    meter = instrument(remote)
    ingest.mode, ingest.headers = status, {"retry-after": "60"}
    _call(provider)
    until(lambda: meter.stats()["retried"] == 1)
    for _ in range(3):
        assert not flush(0.2)
    assert len(ingest.received) == 1
    assert not meter.available


# --- limits that take no reports ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("short_pauses")
@pytest.mark.parametrize("spills", [False, True])
@pytest.mark.parametrize("tells_results", [True, False])
@pytest.mark.parametrize("headers", ["summary", "off"])
@pytest.mark.parametrize("named", [True, False])
def test_a_report_refused_for_a_block_limit_is_booked_without_it_and_its_result_says_so(
    ingest: Ingest, remote: Settings, provider: Provider, monkeypatch: pytest.MonkeyPatch,
    spills: bool, tells_results: bool, headers: Any, named: bool,
) -> None:  # fmt: skip
    for name in ("team", "stop"):
        ingest.ledger.create_limit(limit_name=name, limit_id=name, max=100)
    refusal = Refusal(400, BLOCKING, "Block limits cannot be used", ("stop",) if named else None)
    ingest.judge = lambda item: refusal if "stop" in item.get("limit_ids", ()) else None
    ingest.tells_results = tells_results
    monkeypatch.setattr(stock, "_SPILL_FAILING", 0 if spills else 200)
    settings = remote.model_copy(update={"headers": headers})
    meter = instrument(settings)
    plain = _call(provider)
    assert flush(30)
    if spills:
        ingest.mode = 503
    answers = _call(provider, 5, limit_ids=["team", "stop"])
    plain += _call(provider, 5, limit_ids=["team"])
    if spills:
        until(lambda: stored(settings) == 10)
        ingest.mode = "ok"
    results = [result_of(answer, timeout=30) for answer in answers]
    assert flush(30)
    gone = "stop" if named else "team, stop"
    for result in results:
        assert [warning for warning in result.warnings or () if gone in warning and "block limit" in warning]
        assert list(result.limits or ()) == (["team"] if named else [])
    assert not [result_of(answer, timeout=30).warnings for answer in plain if result_of(answer, timeout=30).warnings]
    assert _booked(ingest) == {answer.id for answer in (*plain, *answers)}
    assert (meter.stats()["refused"], meter.stats()["delivered"], letters(settings)) == (0, 11, [])
    totals = ingest.ledger.limit("team")["totals"]
    assert totals["requests"]["total"] == (10 if named else 5)
    assert totals["cost"]["total"]["base"] > Decimal(0)
    assert ingest.ledger.limit("stop")["totals"]["requests"]["total"] == 0


def test_a_service_that_never_stops_refusing_block_limits_is_not_asked_for_ever(
    ingest: Ingest, remote: Settings, provider: Provider
) -> None:
    meter = instrument(remote)
    ingest.judge = lambda _: Refusal(400, BLOCKING, "never", ("another",))
    (answer,) = _call(provider, limit_ids=["one", "two"])
    with pytest.raises(IngestRefusedError, match=BLOCKING):
        result_of(answer, timeout=30)
    assert flush(30)
    assert (meter.stats()["refused"], len(ingest.received), len(letters(remote))) == (1, 2, 1)


# --- what the app's redact does -------------------------------------------------------------------------------------


def _redact_with(bad: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def redact(item: dict[str, Any]) -> dict[str, Any]:
        return bad(item) if item.get("user_id") == "bad" else item

    return redact


def _raise(error: BaseException) -> Any:
    raise error


@pytest.mark.parametrize("journal", [True, False])
@pytest.mark.parametrize(
    "bad",
    [
        lambda _: _raise(RuntimeError("secret")),
        lambda _: _raise(SystemExit()),
        lambda _: None,
        lambda _: {},
        lambda item: {**item, "properties": {"when": datetime.now(UTC)}},
        lambda item: {**item, "user_id": b"bad"},
        lambda item: {**item, ("no", "name"): 1},
        lambda item: item.update(item=item) or item,
    ],
    ids=["raises", "exits", "None", "empty", "datetime", "bytes", "key", "round"],
)
def test_a_report_that_redact_fails_at_is_not_sent_not_kept_and_no_trouble_to_others(
    ingest: Ingest, remote: Settings, provider: Provider, bad: Callable[[dict[str, Any]], Any], journal: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    settings = remote.model_copy(update={"redact": _redact_with(bad), "headers": "off"})
    meter = instrument(settings if journal else settings.model_copy(update={"journal": "off"}))
    good = _call(provider, 3)
    (refused,) = _call(provider, user_id="bad")
    good += _call(provider, 3)
    assert flush(30)
    with pytest.raises(IngestError):
        result_of(refused, timeout=30)
    stats = meter.stats()
    assert (stats["delivered"], stats["dropped"], stats["queued"]) == (6, 1, 0)
    assert _booked(ingest) == {answer.id for answer in good}
    assert "secret" not in caplog.text
    if journal:
        assert isinstance(settings.journal, Path)
        kept = b"".join(path.read_bytes() for path in settings.journal.rglob("*.record"))
        assert (kept, letters(settings)) == (b"", [])


# --- damaged reports ------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("short_pauses", "spilling")
@pytest.mark.parametrize(
    "item", [b"", b"{", b"\xff\xfe\x00", b"[]", b"42", b"null", b'"text"', b"{}", b"[" * 5000, b'{"a":1},{"b":2}']
)
def test_a_stored_report_that_is_damaged_is_buried_and_no_trouble_to_others(
    ingest: Ingest, remote: Settings, provider: Provider, item: bytes
) -> None:
    meter = instrument(remote)
    ingest.mode = 503
    answers = _call(provider, 6)
    until(lambda: stored(remote) == 6)
    for _ in range(2):
        damage(remote, "INSERT INTO pending (item, content, recorded, attempts) VALUES (?, 0, 1.5, 0)", item)
    answers += _call(provider, 6)
    until(lambda: stored(remote) + len(letters(remote)) == 14)
    ingest.mode = "ok"
    for answer in answers:
        assert result_of(answer, timeout=30).request_id
    assert flush(30)
    assert [letter.row.item for letter in letters(remote)] == [item, item]
    assert {letter.message for letter in letters(remote)} == {"what was stored of it is damaged"}
    assert (meter.stats()["refused"], meter.stats()["delivered"], meter.stats()["queued"]) == (2, 12, 0)
    assert _booked(ingest) == {answer.id for answer in answers}
