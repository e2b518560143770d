"""Replay recorded exchanges of real providers, where the folder that holds them is present."""

from __future__ import annotations

import base64
import gzip
import json
import os
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from payi_middleware.providers import Answer, Match, open_reader, read_request, recognise
from payi_middleware.providers.registry import FORMATS

# Compactions are read as responses; the recordings name them apart.
READ = FORMATS.keys() | {"openai.responses.compact"}
RECORDINGS = Path(
    os.environ.get("PAYI_WIRE") or Path(__file__).resolve().parents[3] / "shared" / "wire" / "exchanges.jsonl.gz"
)
if RECORDINGS.is_dir():
    RECORDINGS = RECORDINGS / "exchanges.jsonl.gz"

pytestmark = pytest.mark.skipif(not RECORDINGS.is_file(), reason="no recordings here (PAYI_WIRE)")


def recordings() -> Iterator[dict[str, Any]]:
    with gzip.open(RECORDINGS, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def lowered(message: dict[str, Any]) -> dict[str, str]:
    return {name.lower(): value for name, value in message["headers"].items()}


def body_of(message: dict[str, Any]) -> bytes:
    if "body_b64" in message:
        return base64.b64decode(message["body_b64"])
    return (message.get("body") or "").encode()


def matched(record: dict[str, Any]) -> Match | None:
    request = record["request"]
    url = urlsplit(request["url"])
    return recognise(request["method"], url.hostname or "", url.port, url.path, lowered(request))


def replay(record: dict[str, Any], match: Match, dice: random.Random, squeeze: bool) -> Answer:
    headers = lowered(record["response"])
    body = body_of(record["response"])
    if squeeze:
        body = gzip.compress(body)
        headers["content-encoding"] = "gzip"
    reader = open_reader(match, record["response"]["status"], headers)
    at = 0
    while at < len(body):
        size = dice.choice((1, 2, 7, 60, 250, 1400, 16_384, 65_536))
        reader.feed(body[at : at + size])
        at += size
    return reader.finish()


def seen(answer: Answer) -> dict[str, Any]:
    usage = answer.usage
    return {
        "has_usage": usage is not None,
        "input_tokens_total": usage and usage.input_tokens,
        "output_total": usage and usage.output_tokens,
        "cache_read": usage and usage.cache_read,
        "cache_write_5m": usage and usage.cache_write,
        "cache_write_1h": usage and usage.cache_write_1h,
        "reasoning": usage and usage.reasoning,
        "audio_in": usage and usage.audio_input,
        "audio_out": usage and usage.audio_output,
        "web_search_requests": usage and usage.web_search_requests,
        "model_responded": answer.model,
        "response_id": answer.response_id,
        "function_calls": [call.name for call in answer.function_calls],
    }


def differences(record: dict[str, Any], answer: Answer) -> dict[str, tuple[Any, Any]]:
    """Return (expected, found) of what differs; names and ids are compared where the recording has them."""
    expected, found = record["expected"], seen(answer)
    unknown = {name for name in ("model_responded", "response_id") if expected[name] is None}
    return {
        name: (expected[name], found[name])
        for name in found.keys() - unknown
        if (expected[name] or None) != (found[name] or None)
    }


def fault(record: dict[str, Any], dice: random.Random, squeeze: bool) -> str | None:
    match = matched(record)
    if match is None:  # the wires have lists and changes of jobs, too
        return "not recognised" if record["expected"]["has_usage"] else None
    if found := differences(record, replay(record, match, dice, squeeze)):
        return str(found)
    return None


@pytest.mark.parametrize("squeeze", [False, True], ids=["plain", "gzip"])
def test_recorded_exchanges_are_read_as_their_usage_says(squeeze: bool) -> None:
    """At least 99 % of the exchanges agree in every compared fact, cut into chunks at random."""
    dice = random.Random(20261122)
    wrong = {}
    total: Counter[str] = Counter()
    for record in recordings():
        if record["api"] in READ and not record["uncertain"]:
            total[record["api"]] += 1
            if why := fault(record, dice, squeeze):
                wrong[f"{record['api']} {record['id']}"] = why
    assert len(total) > 30
    assert len(wrong) <= total.total() * 0.01, "\n".join(f"{key}: {why}" for key, why in sorted(wrong.items()))


def test_recorded_requests_are_read_as_they_were_asked() -> None:
    """The requested model of every recorded request is found in its body or its path."""
    wrong = []
    for record in recordings():
        match = matched(record)
        if record["api"] not in READ or match is None:
            continue
        asked = read_request(match, body_of(record["request"]))
        if asked.model != record["expected"]["model_requested"] and record["expected"]["model_requested"]:
            wrong.append((record["id"], asked.model, record["expected"]["model_requested"]))
    assert not wrong


def test_recorded_calls_that_are_no_inference_are_not_reported() -> None:
    """Lists, files, token counts, jobs that are still running: None, or found out by their answer.

    The recordings take a gateway's inference at an unknown host for none; its answer has usage all the same.
    """
    wrong = []
    dice = random.Random(20261122)
    for record in recordings():
        if record["api"] in READ or record["expected"]["has_usage"] or (match := matched(record)) is None:
            continue
        answer = replay(record, match, dice, squeeze=False)
        if answer.inference and answer.usage is None:
            wrong.append((record["id"], record["request"]["url"]))
    assert not wrong
