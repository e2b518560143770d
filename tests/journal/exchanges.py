"""Exchanges as a transport records them, and the reports that become of them directly and by their records."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from payi_middleware.annotations import NOTHING, Annotations
from payi_middleware.delivery.records import read_record, record_of
from payi_middleware.kinds import Kind
from payi_middleware.observing import observe
from payi_middleware.providers import Match
from payi_middleware.recorder import Exchange
from payi_middleware.report import Report, build_report
from tests.unit.world import Owner

URI = "https://provider.example/v1"
CUTS = (1, 7, 60, 250, 1400, 16_384)
JSON = {"content-type": "application/json"}
EVENTS = {"content-type": "text/event-stream"}
Hash = Callable[[str], str] | None


class Watching(Owner):
    """Keeps what it is given, and asks for nothing."""

    stream_usage = False
    proxying: Any = None


def recorded(
    match: Match,
    asked: bytes,
    answered: bytes,
    *,
    status: int = 200,
    headers: Mapping[str, str] = JSON,
    squeeze: bool = False,
    annotations: Annotations = NOTHING,
    dice: random.Random | None = None,
    complete: bool = True,
) -> Exchange | None:
    """Return a finished exchange; None if the response is no answer of the provider."""
    exchange = Exchange(Watching(), Kind(match, URI, "openai/3.54.0"), None, asked, annotations)
    if squeeze:
        answered, headers = gzip.compress(answered), {**headers, "content-encoding": "gzip"}
    if not exchange.respond(status, headers):
        return None
    at = 0
    while at < len(answered):
        size = dice.choice(CUTS) if dice else len(answered)
        exchange.feed(answered[at : at + size])
        at += size
    exchange.finish(complete=complete)
    exchange.fallback_id = "payi_1"
    return exchange


def reports(exchange: Exchange, hash_user: Hash = None) -> tuple[bytes, Report, Report]:
    """Return the record of an exchange, the report that is built of it directly, and that of its record."""
    record = record_of(exchange, hash_user)
    direct = build_report(observe(exchange), exchange.annotations, hash_user=hash_user, fallback_id="payi_1")
    observed, annotations, own_id = read_record(record)
    return record, direct, build_report(observed, annotations, fallback_id=own_id)


def check_same(direct: Report, read: Report) -> None:
    """Check that both reports say the same."""
    assert read.item == direct.item
    assert (read.module, read.log_content) == (direct.module, direct.log_content)


def texts(asked: bytes) -> Iterator[str]:
    """Yield the sentences of a request."""
    try:
        yield from _sentences(json.loads(asked))
    except ValueError:
        return


def _sentences(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if len(value) >= 20 and value.count(" ") > 2:
            yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _sentences(each)


def holds(data: bytes, text: str) -> bool:
    """Return whether a text is in it, plainly or as JSON."""
    return any(form in data for form in (text.encode(errors="replace"), *_escaped(text)))


def _escaped(text: str) -> Iterator[bytes]:
    yield json.dumps(text)[1:-1].encode()
    yield json.dumps(text, ensure_ascii=False)[1:-1].encode(errors="replace")
