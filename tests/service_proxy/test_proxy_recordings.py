"""Recorded streams of real providers, where the folder that holds them is present, pass and get their result."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from payi_middleware.providers import open_reader
from payi_middleware.service.proxy.tails import EventTail, FrameTail, Tail
from tests.providers.test_recordings import RECORDINGS, body_of, lowered, matched, recordings

from .serving import without
from .test_proxy_tails import ADDED, RESULT, cut, passed

pytestmark = pytest.mark.skipif(not RECORDINGS.is_file(), reason="no recordings here (PAYI_WIRE)")

WIRES = ("openai.", "anthropic.", "bedrock.")


def test_recorded_streams_come_out_as_they_went_in_with_their_result_in_a_chunk() -> None:
    dice = random.Random(7)
    found: Counter[str] = Counter()
    for record in recordings():
        match = matched(record)
        body = body_of(record["response"])
        if match is None or not match.api.startswith(WIRES) or not record["stream"] or not body:
            continue
        reader = open_reader(match, record["response"]["status"], lowered(record["response"]))
        frames = body.startswith(b"\0")
        if not frames and not body.startswith((b"data", b"event", b":")):
            continue
        tail: Tail = FrameTail(reader.feed) if frames else EventTail(match.api, reader.feed)
        out = passed(tail, cut(body, [dice.randrange(len(body)) for _ in range(9)]))
        if not frames:
            told, results = without("xproxy_result", out)
            assert told.replace(b": {}\n\n", b"") == body, record["id"]
            assert all(result == RESULT for result in results), record["id"]
        found["in a chunk" if out != body and b": {" + ADDED not in out else "elsewhere"] += 1

    assert found["in a chunk"] > 250
    assert found["elsewhere"] <= 2  # a stream of another format, and one that a guardrail ended
