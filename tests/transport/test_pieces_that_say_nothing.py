"""Most pieces of a chat's stream say nothing that is reported: they pass the transport by, and nothing is missed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from payi_middleware import AsyncPayiTransport, PayiTransport
from payi_middleware.recorder import Exchange
from tests.transport.calling import CHAT, delivered, only_report

URL = "https://api.openai.com/v1/chat/completions"
WORDS = 300
TELLING = {**CHAT, "stream": True, "stream_options": {"include_usage": True}}
UNASKED = {**CHAT, "stream": True}


def _event(delta: dict[str, Any], **more: Any) -> bytes:
    choices = [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}]
    told = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "gpt-4o-mini", "choices": choices, **more}
    return b"data: " + json.dumps(told, separators=(",", ":")).encode() + b"\n\n"


USAGE = _event({}, choices=[], usage={"prompt_tokens": 11, "completion_tokens": 345, "total_tokens": 356})


def _pieces(*, split: bool) -> list[bytes]:
    words = [_event({"content": f"word {number}"}) for number in range(WORDS)]
    if split:  # one event comes in two pieces, two in one, and one with a tool's call among them
        words[100:101] = [words[100][:40], words[100][40:]]
        words[200:202] = [words[200] + words[201]]
        words.insert(250, _event({"tool_calls": [{"index": 0, "function": {"name": "look_up", "arguments": "{}"}}]}))
    return [_event({"role": "assistant"}), *words, USAGE, b"data: [DONE]\n\n"]


@pytest.fixture(autouse=True)
def _default_ledger(monkeypatch: pytest.MonkeyPatch, ledger_path: Path) -> None:
    monkeypatch.setenv("PAYI_LEDGER", str(ledger_path))


@pytest.fixture
def fed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    pieces: list[bytes] = []
    feed = Exchange.feed

    def counting(self: Exchange, chunk: bytes) -> bool:
        pieces.append(chunk)
        return feed(self, chunk)

    monkeypatch.setattr(Exchange, "feed", counting)
    return pieces


def _served(library: Any, pieces: list[bytes]) -> Any:
    """Answer with these very pieces, which a server behind a socket could not promise."""

    class Stream(library.SyncByteStream, library.AsyncByteStream):  # type: ignore[misc]
        def __iter__(self) -> Iterator[bytes]:
            yield from pieces

        async def __aiter__(self) -> AsyncIterator[bytes]:
            for piece in pieces:
                yield piece

    headers = {"content-type": "text/event-stream"}
    return library.MockTransport(lambda _: library.Response(200, headers=headers, stream=Stream()))


@pytest.mark.parametrize("asked", [TELLING, UNASKED], ids=["asked for usage", "not asked for usage"])
@pytest.mark.parametrize("split", [False, True], ids=["event by event", "otherwise in between"])
def test_only_what_says_something_is_fed(
    library: Any, ledger_path: Path, fed: list[bytes], split: bool, asked: dict[str, Any]
) -> None:
    pieces = _pieces(split=split)
    with library.Client(transport=PayiTransport(_served(library, pieces))) as client:
        answer = client.post(URL, json=asked)

    assert answer.content == b"".join(piece for piece in pieces if asked is TELLING or piece != USAGE)
    _assert_all_is_told(ledger_path, fed)


@pytest.mark.anyio
@pytest.mark.parametrize("asked", [TELLING, UNASKED], ids=["asked for usage", "not asked for usage"])
@pytest.mark.parametrize("split", [False, True], ids=["event by event", "otherwise in between"])
async def test_only_what_says_something_is_fed_asynchronously(
    library: Any, ledger_path: Path, fed: list[bytes], split: bool, asked: dict[str, Any]
) -> None:
    pieces = _pieces(split=split)
    async with library.AsyncClient(transport=AsyncPayiTransport(_served(library, pieces))) as client:
        answer = await client.post(URL, json=asked)

    assert answer.content == b"".join(piece for piece in pieces if asked is TELLING or piece != USAGE)
    _assert_all_is_told(ledger_path, fed)


def _assert_all_is_told(ledger_path: Path, fed: list[bytes]) -> None:
    report = only_report(ledger_path)
    assert (report.input_tokens, report.output_tokens) == (11, 345)
    assert report.provider_response_id == "chatcmpl-1"
    assert report.time_to_first_token_ms is not None
    assert "system.stream" not in report.properties
    assert delivered() == 1
    assert len(fed) < WORDS / 10
