"""Replay recorded exchanges through a real client that is metered, and compare what would have been reported."""

from __future__ import annotations

import gzip
import random
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from payi_middleware import Settings, flush, instrument
from payi_middleware.providers.registry import FORMATS
from tests.providers.test_recordings import RECORDINGS, body_of, lowered, recordings

pytestmark = pytest.mark.skipif(not RECORDINGS.is_file(), reason="no recordings here (PAYI_WIRE)")

READ = FORMATS.keys() | {"openai.responses.compact"}
KEPT_BY_CLIENTS = {"host", "content-length", "transfer-encoding", "connection"}
NO_TOKENS = ("audio_seconds", "search_unit", "page", "character", "web_search_request", "guardrail_")


class Cut(httpx2.SyncByteStream):
    """Comes in pieces of any size, or one event after the other, as from most servers."""

    def __init__(self, body: bytes, dice: random.Random) -> None:
        self.body = body
        self.dice = dice

    def __iter__(self) -> Iterator[bytes]:
        at = 0
        by_event = self.dice.random() < 0.5
        while at < len(self.body):
            size = self.dice.choice((1, 7, 60, 250, 1400, 16_384))
            if by_event and (end := self.body.find(b"\n\n", at)) >= 0:
                size = end + 2 - at
            yield self.body[at : at + size]
            at += size


class Replayed(httpx2.BaseTransport):
    """Answers as recorded, cut at random and maybe compressed; a provider cannot be asked to say the same again."""

    def __init__(self, record: dict[str, Any], dice: random.Random, squeeze: bool) -> None:
        self.record = record
        self.dice = dice
        self.squeeze = squeeze

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        request.read()
        headers = {
            name: value for name, value in lowered(self.record["response"]).items() if name not in KEPT_BY_CLIENTS
        }
        body = body_of(self.record["response"])
        if self.squeeze:
            body = gzip.compress(body)
            headers["content-encoding"] = "gzip"
        return httpx2.Response(self.record["response"]["status"], headers=headers, stream=Cut(body, self.dice))


def replay(record: dict[str, Any], dice: random.Random, squeeze: bool) -> None:
    request = record["request"]
    headers = {name: value for name, value in lowered(request).items() if name not in KEPT_BY_CLIENTS}
    with httpx2.Client(transport=Replayed(record, dice, squeeze)) as client:
        response = client.request(request["method"], request["url"], headers=headers, content=body_of(request))
        assert response.content == body_of(record["response"])


def tokens(report: dict[str, Any], side: str, only: str = "") -> int:
    return sum(
        counts.get(side, 0)
        for unit, counts in report["units"].items()
        if only in unit and not unit.startswith(NO_TOKENS)
    )


def problem(record: dict[str, Any], reports: list[dict[str, Any]]) -> str | None:
    expected = record["expected"]
    if record["api"] not in READ:
        return "reported" if any(report["units"] for report in reports) and not expected["has_usage"] else None
    if record["response"]["status"] >= 400:
        return None if len(reports) == 1 and reports[0]["http_status_code"] >= 400 else "not reported as a failure"
    if not expected["has_usage"]:
        return "usage made up" if any(tokens(report, "input") for report in reports) else None
    if len(reports) != 1:
        return f"{len(reports)} reports"
    (report,) = reports
    clamped = "system.usage.clamped" in report.get("properties", {})
    found = {
        "input_tokens_total": tokens(report, "input"),
        "output_total": tokens(report, "output"),
        "cache_read": tokens(report, "input", "cache_read"),
    }
    wrong: dict[str, Any] = {
        name: (expected[name], value) for name, value in found.items() if (expected[name] or 0) != value
    }
    if expected["response_id"] and report["provider_response_id"] != expected["response_id"]:
        kept = report.get("properties", {}).get("system.provider_response_id")
        wrong |= {} if kept == expected["response_id"] else {"id": (expected["response_id"], kept)}
    names = [call["name"] for call in report.get("provider_response_function_calls", [])]
    if names != expected["function_calls"]:
        wrong["function_calls"] = (expected["function_calls"], names)
    return str(wrong) if wrong and not clamped else None


@pytest.mark.parametrize("squeeze", [False, True], ids=["plain", "gzip"])
def test_what_a_metered_client_reports_is_what_the_provider_said(squeeze: bool, settings: Settings) -> None:
    """At least 99 % of the exchanges, through instrument() and a client's own reading of the body."""
    reports: list[dict[str, Any]] = []

    def take(item: dict[str, Any]) -> dict[str, Any]:
        reports.append(item)
        return item

    instrument(settings.model_copy(update={"redact": take, "stream_usage": False}))
    dice = random.Random(20261122)
    wrong, total = {}, 0
    for record in recordings():
        if record["uncertain"] or record["response"]["status"] // 100 == 3:
            continue
        total += 1
        replay(record, dice, squeeze)
        assert flush(10)
        if why := problem(record, reports):
            wrong[f"{record['api']} {record['id']}"] = why
        reports.clear()
    assert total > 1000
    assert len(wrong) <= total * 0.01, "\n".join(f"{key}: {why}" for key, why in sorted(wrong.items()))
