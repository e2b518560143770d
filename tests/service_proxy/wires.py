"""Streams of each wire format, event by event, and what of them each event is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tests.transport.bedrock import CONVERSATION, MESSAGE_CHUNKS

ASKED = b'{"model":"m","messages":[],"stream":true}'
EVENTS, FRAMES = "text/event-stream", "application/vnd.amazon.eventstream"


@dataclass(frozen=True)
class Stream:
    """A stream of a provider.

    Args:
        path: where it is asked for, below `/api/v1/proxy/`.
        events: its events; the last `ending` of them may be held back until the result is there.
        category: Pay-i's.
    """

    name: str
    path: str
    content_type: str
    events: tuple[bytes, ...]
    ending: int
    category: str

    @property
    def body(self) -> bytes:
        return b"".join(self.events)


def _data(told: dict[str, Any], name: str = "") -> bytes:
    return (f"event: {name}\n" if name else "").encode() + b"data: " + _compact(told) + b"\n\n"


def _compact(told: dict[str, Any]) -> bytes:
    return json.dumps(told, separators=(",", ":"), ensure_ascii=False).encode()


def _chat(choices: list[dict[str, Any]], **more: Any) -> bytes:
    told = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini", "choices": choices}
    return _data(told | more)


def chat_chunk(delta: dict[str, Any], finish: str | None = None, index: int = 0) -> bytes:
    """Return a chunk of a streamed chat."""
    return _chat([{"index": index, "delta": delta, "finish_reason": finish}])


def _typed(**told: Any) -> bytes:
    return _data(told, told["type"])


def _response(kind: str, number: int, **told: Any) -> bytes:
    return _typed(type=f"response.{kind}", sequence_number=number, **told)


WORDS = ("Hello", " w\u00f6rld", ' "finish_reason":"x"}}\n\ndata: [DONE]')
USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
CHAT_USAGE = _chat([], usage=USAGE)
DONE = b"data: [DONE]\n\n"

CHAT = Stream(
    "chat",
    "openai/v1/chat/completions",
    EVENTS,
    (
        chat_chunk({"role": "assistant", "content": ""}),
        *(chat_chunk({"content": word}) for word in WORDS),
        chat_chunk({}, "stop"),
        CHAT_USAGE,
        DONE,
    ),
    3,
    "system.openai",
)
MESSAGES = Stream(
    "messages",
    "anthropic/v1/messages",
    EVENTS,
    (
        _typed(
            type="message_start",
            message={"id": "msg_1", "model": "claude-3-haiku", "usage": {"input_tokens": 10, "output_tokens": 1}},
        ),
        _typed(type="content_block_start", index=0, content_block={"type": "text", "text": ""}),
        _typed(type="ping"),
        _typed(type="content_block_delta", index=0, delta={"type": "text_delta", "text": "Hi"}),
        _typed(type="content_block_stop", index=0),
        _typed(type="message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 5}),
        _typed(type="message_stop"),
    ),
    2,
    "system.anthropic",
)
_OPENING = {"id": "resp_1", "model": "gpt-4o-mini"}
_COUNTS = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
RESPONSES = Stream(
    "responses",
    "openai/v1/responses",
    EVENTS,
    (
        _response("created", 0, response=_OPENING),
        _response("output_text.delta", 1, delta="Hi"),
        _response("completed", 2, response={**_OPENING, "output": [], "usage": _COUNTS}),
    ),
    1,
    "system.openai",
)
CONVERSE = Stream(
    "converse", "aws.bedrock/model/m/converse-stream", FRAMES, tuple(CONVERSATION), 1, "system.aws.bedrock"
)
INVOKE = Stream(
    "invoke",
    "aws.bedrock/model/m/invoke-with-response-stream",
    FRAMES,
    tuple(MESSAGE_CHUNKS),
    1,
    "system.aws.bedrock",
)
STREAMS = (CHAT, MESSAGES, RESPONSES, CONVERSE, INVOKE)
