"""Files of batch results."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest

from payi_middleware.providers import Answer, Match, Usage, open_reader
from payi_middleware.providers.usage import added
from tests.providers.wires import as_lines

OPENAI = Match("openai.batch_results", "system.openai", "openai")
ANTHROPIC = Match("anthropic.batch_results", "system.anthropic", "anthropic")


def line(number: int, **usage: Any) -> dict[str, Any]:
    body = {"id": f"chatcmpl-{number}", "model": "gpt-4o-mini", "choices": [], "usage": usage}
    response = {"status_code": 200, "request_id": "r", "body": body}
    return {"id": f"batch_req_{number}", "custom_id": f"c{number}", "response": response, "error": None}


def message(number: int, **usage: Any) -> dict[str, Any]:
    told = {"id": f"msg_{number}", "model": "claude-haiku-4-5", "content": [], "usage": usage}
    return {"custom_id": f"c{number}", "result": {"type": "succeeded", "message": told}}


def read(
    match: Match, raw: bytes, size: int = 4096, content_type: str = "application/octet-stream", status: int = 200
) -> Answer:
    reader = open_reader(match, status, {"content-type": content_type})
    for start in range(0, len(raw), size):
        assert not reader.feed(raw[start : start + size])
    return reader.finish()


@pytest.mark.parametrize("size", [1, 50, 4096])
def test_the_answers_of_an_output_file_are_added_up_under_the_id_of_the_first(size: int) -> None:
    cached = {"prompt_tokens_details": {"cached_tokens": 4}}
    raw = as_lines(
        [line(1, prompt_tokens=10, completion_tokens=2), line(2, prompt_tokens=7, completion_tokens=1, **cached)]
    )
    assert read(OPENAI, raw, size) == Answer(
        usage=Usage(input_tokens=17, output_tokens=3, cache_read=4),
        response_id="chatcmpl-1",
        model="gpt-4o-mini",
        service_tier="batch",
        notes={"system.batch.answers": "2"},
    )


def test_requests_that_failed_consume_nothing() -> None:
    failed = {"id": "batch_req_0", "custom_id": "c0", "response": None, "error": {"code": "batch_expired"}}
    answer = read(OPENAI, as_lines([failed, line(1, prompt_tokens=10, completion_tokens=2), {"note": "x"}]))
    assert answer.usage == Usage(input_tokens=10, output_tokens=2)
    assert not read(OPENAI, as_lines([failed])).inference


def test_the_results_of_a_message_batch_are_added_up() -> None:
    raw = as_lines(
        [
            message(1, input_tokens=5, output_tokens=2, cache_creation_input_tokens=3),
            {"custom_id": "c2", "result": {"type": "errored", "error": {"type": "invalid_request"}}},
            message(3, input_tokens=6, output_tokens=4),
        ]
    )
    answer = read(ANTHROPIC, raw, content_type="application/x-jsonl")
    assert answer.usage == Usage(input_tokens=14, output_tokens=6, cache_write=3, reasoning_as_text=True)
    assert (answer.response_id, answer.service_tier) == ("msg_1", "batch")


@pytest.mark.parametrize(
    "raw",
    [
        b'{"messages":[{"role":"user"}]}\n' * 3,
        b'{"usage":{"prompt_tokens":5}}\n',
        b"%PDF-1.7 not a batch",
        b"id,name\n1,x\n",
        b"[1,2]",
        b"",
    ],
)
def test_any_other_file_is_no_inference(raw: bytes) -> None:
    answer = read(OPENAI, raw)
    assert not answer.inference
    assert answer.usage is None


def test_a_download_that_fails_is_no_failed_inference() -> None:
    answer = read(OPENAI, b'{"error":{"code":"not_found","message":"No"}}', status=404, content_type="application/json")
    assert not answer.inference


def test_an_embedding_too_long_to_keep_still_tells_its_usage() -> None:
    long = line(1, total_tokens=9)
    long["response"]["body"] = {"data": [0.25] * 40_000} | long["response"]["body"]
    answer = read(OPENAI, as_lines([long, line(2, total_tokens=3)]))
    assert answer.usage == Usage(input_tokens=12)


def test_a_file_is_neither_kept_nor_collected() -> None:
    tracemalloc.start()
    try:
        reader = open_reader(OPENAI, 200, {"content-type": "application/octet-stream"})
        block = json.dumps(line(1, prompt_tokens=1, completion_tokens=1)).encode() + b"\n"
        for _ in range(2_000):
            reader.feed(block * 5)
        other = open_reader(OPENAI, 200, {})
        for _ in range(500):
            other.feed(b"%PDF" * 4_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000
    assert reader.finish().usage == Usage(input_tokens=10_000, output_tokens=10_000)


def test_what_two_answers_consumed_is_added_side_by_side() -> None:
    one = Usage(input_tokens=1, cache_read=2, counts={"page": {"input": 1}}, scope="datazone.us")
    other = Usage(input_tokens=4, output_tokens=5, counts={"page": {"input": 2, "output": 1}, "image": {"output": 3}})
    assert added(one, other) == Usage(
        input_tokens=5,
        output_tokens=5,
        cache_read=2,
        counts={"page": {"input": 3, "output": 1}, "image": {"output": 3}},
        scope="datazone.us",
    )
