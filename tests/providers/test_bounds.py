"""What a reader holds of a stream stays small however much comes, in each way that streams are framed."""

from __future__ import annotations

import gc
import tracemalloc
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pytest

from payi_middleware.providers import Answer, Match, Reader, open_reader
from tests.providers.aws_frames import EVENT_STREAM, chunk, event, frame
from tests.providers.wires import EVENTS, JSON, LINES

MANY = 50 * 2**20
HELD = 256 * 1024
PASSING = 1024 * 1024  # what may come on top while one chunk is looked at
IN_FINISH = 16 * 2**20  # what reading a body at its end, 4 MiB of which are kept, may take
CHUNK = 16_384
WORDS = "many words " * 300  # tracing costs ten times what is traced: fewer and larger events


@dataclass(frozen=True)
class Framing:
    """One stream: its first event, one of text, one that never ends, and the end with a usage of 5 and 7 tokens."""

    api: str
    headers: dict[str, str]
    start: bytes
    text: bytes
    unending: bytes
    end: bytes


CONVERSE_END = event("messageStop", {"stopReason": "end_turn"}) + event(
    "metadata", {"usage": {"inputTokens": 5, "outputTokens": 7}}
)
INVOKE_END = chunk(
    {"type": "message_stop", "amazon-bedrock-invocationMetrics": {"inputTokenCount": 5, "outputTokenCount": 7}}
)
FRAMINGS = [
    Framing(
        "openai.chat",
        EVENTS,
        b'data: {"id":"c","model":"gpt","choices":[{"delta":{"role":"assistant"}}]}\n\n',
        b'data: {"id":"c","model":"gpt","choices":[{"delta":{"content":"%s"}}]}\n\n' % WORDS.encode(),
        b'data: {"id":"c","model":"gpt","choices":[{"delta":{"content":"',
        b'data: {"id":"c","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":7}}\n\ndata: [DONE]\n\n',
    ),
    Framing(
        "ollama.chat",
        LINES,
        b'{"model":"qwen","message":{"role":"assistant","content":"So"},"done":false}\n',
        b'{"model":"qwen","message":{"role":"assistant","content":"%s"},"done":false}\n' % WORDS.encode(),
        b'{"model":"qwen","message":{"role":"assistant","content":"',
        b'{"model":"qwen","done":true,"done_reason":"stop","prompt_eval_count":5,"eval_count":7}\n',
    ),
    Framing(
        "gemini.stream_generate",
        JSON,
        b'[{"candidates":[{"content":{"role":"model","parts":[{"text":"So"}]}}],"modelVersion":"gemini"}\n',
        b',\r\n{"candidates":[{"content":{"role":"model","parts":[{"text":"%s"}]}}]}\n' % WORDS.encode(),
        b',\r\n{"candidates":[{"content":{"role":"model","parts":[{"text":"',
        b',{"candidates":[{"finishReason":"STOP"}],'
        b'"usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":7,"totalTokenCount":12}}]',
    ),
    Framing(
        "gemini.stream_generate",
        JSON,
        b'[{\n  "candidates": [],\n  "modelVersion": "gemini"\n}\n',
        b',\r\n{\n  "candidates": [{"content": {"role": "model", "parts": [{"text": "%s"}]}}]\n}\n' % WORDS.encode(),
        b',\r\n{\n  "candidates": [{"content": {"role": "model", "parts": [{"text": "',
        b',\r\n{\n  "candidates": [{"finishReason": "STOP"}],\n'
        b'  "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 7, "totalTokenCount": 12}\n}\n]',
    ),
    Framing(
        "bedrock.converse_stream",
        EVENT_STREAM,
        event("messageStart", {"role": "assistant"}),
        event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": WORDS}, "p": "abc"}),
        # A message of the largest size that the format allows.
        frame({":event-type": "contentBlockDelta"}, b'{"delta":{"text":"' + b"x" * (2**24 - 64))[:CHUNK],
        CONVERSE_END,
    ),
    Framing(
        "bedrock.invoke_stream",
        EVENT_STREAM,
        chunk({"type": "message_start", "message": {"id": "m", "model": "claude"}}),
        chunk({"type": "content_block_delta", "delta": {"type": "text_delta", "text": WORDS}}),
        frame({":event-type": "chunk"}, b'{"bytes":"' + b"A" * (2**24 - 64))[:CHUNK],
        INVOKE_END,
    ),
]


def fed(reader: Reader, chunks: Iterable[bytes]) -> tuple[int, int, Answer]:
    """Feed fresh copies of the chunks; return what was held at most between two of them and within one, and the answer.

    Checks that the end, where a body is read, is bounded, too.
    """
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        held = before
        for piece in chunks:
            reader.feed(bytes(bytearray(piece)))
            held = max(held, tracemalloc.get_traced_memory()[0])
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        answer = reader.finish()
        assert tracemalloc.get_traced_memory()[1] - before < IN_FINISH
    finally:
        tracemalloc.stop()
    return held - before, peak - before, answer


def opened(framing: Framing, **headers: str) -> Reader:
    return open_reader(Match(framing.api, "system.any", "any"), 200, {**framing.headers, **headers})


def repeated(piece: bytes, total: int = MANY) -> Iterator[bytes]:
    """Yield `piece` over and over, `total` bytes in chunks that are cut anywhere."""
    several = piece * (CHUNK // len(piece) + 2)
    for number in range(total // CHUNK):
        start = number * CHUNK % len(piece)
        yield several[start : start + CHUNK]
    yield several[total // CHUNK * CHUNK % len(piece) : len(piece)]


def squeezed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    squeezer = zlib.compressobj(9, wbits=zlib.MAX_WBITS | 16)
    told = b"".join([squeezer.compress(piece) for piece in chunks] + [squeezer.flush()])
    for start in range(0, len(told), CHUNK):
        yield told[start : start + CHUNK]


@pytest.mark.parametrize("framing", FRAMINGS, ids=lambda framing: framing.api)
def test_50_mb_of_events_are_read_to_their_end_in_256_kib(framing: Framing) -> None:
    reader = opened(framing)
    held, peak, answer = fed(reader, [framing.start, *repeated(framing.text), framing.end])
    assert held < HELD
    assert peak < PASSING
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (5, 7)


@pytest.mark.parametrize("framing", FRAMINGS, ids=lambda framing: framing.api)
def test_an_event_without_an_end_is_held_in_256_kib(framing: Framing) -> None:
    reader = opened(framing)
    held, peak, _ = fed(reader, [framing.start, framing.unending, *repeated(b"x" * CHUNK)])
    assert held < HELD
    assert peak < PASSING


@pytest.mark.parametrize("framing", FRAMINGS, ids=lambda framing: framing.api)
@pytest.mark.parametrize("announced", [True, False], ids=["as a stream", "as JSON"])
def test_a_gzip_bomb_of_50_mb_is_held_in_256_kib(framing: Framing, announced: bool) -> None:
    headers = {"content-encoding": "gzip"} | ({} if announced else {"content-type": "application/json"})
    reader = opened(framing, **headers)
    bomb = list(squeezed([framing.start, *repeated(framing.text), framing.end]))
    held, peak, _ = fed(reader, bomb)
    assert held < HELD + (0 if announced else sum(map(len, bomb)))  # a JSON body is inflated at its end
    assert peak < PASSING


@pytest.mark.parametrize("framing", FRAMINGS, ids=lambda framing: framing.api)
def test_a_bomb_of_one_event_without_an_end_is_held_in_256_kib(framing: Framing) -> None:
    reader = opened(framing, **{"content-encoding": "gzip"})
    held, peak, _ = fed(reader, squeezed([framing.start, framing.unending, *repeated(b"x" * CHUNK)]))
    assert held < HELD
    assert peak < PASSING
