"""Answers of the size and the form that providers give: streams of many words, and 1.5 KB in one body."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.providers.aws_frames import EVENT_STREAM, event

__all__ = ["BODY", "EVENTS", "FAMILIES", "Answers"]

EVENTS = {"content-type": "text/event-stream"}
BODY = {"content-type": "application/json"}
_WORDS = (
    "the",
    " quick",
    " brown",
    " fox",
    " jumps",
    " over",
    " some",
    " very",
    " lazy",
    " dogs",
    ",",
    " then",
    " rests",
)
_CHUNKS = 500
_SIZE = 1_500


@dataclass(frozen=True)
class Answers:
    """Hold a family's answers: a stream's opening, its deltas and its end, and one body."""

    api: str
    opening: bytes
    deltas: list[bytes]
    ending: bytes
    body: bytes
    stream_headers: Mapping[str, str]


def _words() -> list[tuple[str, str]]:
    """Return words, and padding of changing length as some providers send with them."""
    return [(_WORDS[number % len(_WORDS)], "x" * (number * 7 % 16 + 1)) for number in range(_CHUNKS)]


def _dumped(told: Any) -> bytes:
    return json.dumps(told, separators=(",", ":")).encode()


def _event(told: Any, name: str = "", end: bytes = b"\n\n") -> bytes:
    return (f"event: {name}\n".encode() if name else b"") + b"data: " + _dumped(told) + end


def _padded(make: Any) -> bytes:
    """Return what `make` makes of a text that is as long as the body lacks."""
    return _dumped(make("word " * ((_SIZE - len(_dumped(make("")))) // 5)))


def _chat() -> Answers:
    base = {"id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT", "created": 1741569952, "model": "gpt-4o-mini-2024-07-18"}
    usage = {"prompt_tokens": 19, "completion_tokens": 500, "total_tokens": 519}

    def chunk(delta: dict[str, str], finish: str | None, padding: str) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        told = {**base, "object": "chat.completion.chunk", "service_tier": "default", "choices": [choice]}
        return _event({**told, "usage": None, "obfuscation": padding})

    def whole(text: str) -> Any:
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        return {**base, "object": "chat.completion", "choices": [choice], "usage": usage}

    return Answers(
        "openai.chat",
        chunk({"role": "assistant", "content": ""}, None, "x"),
        [chunk({"content": word}, None, padding) for word, padding in _words()],
        chunk({}, "stop", "x") + _event({**base, "choices": [], "usage": usage}) + b"data: [DONE]\n\n",
        _padded(whole),
        EVENTS,
    )


def _responses() -> Answers:
    base = {"id": "resp_67ccd2bed1ec8190b14f964abc054267", "object": "response", "model": "gpt-5"}
    usage = {"input_tokens": 19, "output_tokens": 500, "total_tokens": 519}

    def delta(number: int, word: str, padding: str) -> bytes:
        kind = "response.output_text.delta"
        place = {"item_id": "msg_67ccd2bf17f0819081ff3bb2cf6508e6", "output_index": 0, "content_index": 0}
        told = {"type": kind, "sequence_number": number, **place, "delta": word, "logprobs": [], "obfuscation": padding}
        return _event(told, kind)

    def whole(text: str) -> Any:
        message = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
        return {**base, "status": "completed", "output": [message], "usage": usage}

    def turn(kind: str, response: Any) -> bytes:
        return _event({"type": kind, "sequence_number": 0, "response": response}, kind)

    return Answers(
        "openai.responses",
        turn("response.created", {**base, "status": "in_progress", "output": [], "usage": None}),
        [delta(number, *said) for number, said in enumerate(_words())],
        turn("response.completed", whole("word " * 500)),
        _padded(whole),
        EVENTS,
    )


def _anthropic() -> Answers:
    base = {"id": "msg_01XFDUDYJgAACzvnptvVoYEL", "type": "message", "role": "assistant", "model": "claude-haiku-4-5"}

    def whole(text: str) -> Any:
        usage = {"input_tokens": 19, "cache_read_input_tokens": 0, "output_tokens": 500}
        return {**base, "content": [{"type": "text", "text": text}], "stop_reason": "end_turn", "usage": usage}

    def delta(word: str) -> bytes:
        told = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}
        return _event(told, "content_block_delta")

    start = {"type": "message_start", "message": {**base, "content": [], "usage": {"input_tokens": 19}}}
    end = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 500}}
    return Answers(
        "anthropic.messages",
        _event(start, "message_start"),
        [delta(word) for word, _ in _words()],
        _event(end, "message_delta") + _event({"type": "message_stop"}, "message_stop"),
        _padded(whole),
        EVENTS,
    )


def _gemini() -> Answers:
    def told(text: str, **candidate: Any) -> Any:
        content = {"parts": [{"text": text}], "role": "model"}
        usage = {"promptTokenCount": 19, "candidatesTokenCount": 500, "totalTokenCount": 519}
        named = {"modelVersion": "gemini-2.5-flash", "responseId": "mAitaLmkHPPlz7IPvtfUqQ4"}
        return {"candidates": [{"content": content, "index": 0, **candidate}], "usageMetadata": usage, **named}

    return Answers(
        "gemini.stream_generate",
        _event(told("A"), end=b"\r\n\r\n"),
        [_event(told(word), end=b"\r\n\r\n") for word, _ in _words()],
        _event(told(".", finishReason="STOP"), end=b"\r\n\r\n"),
        _padded(lambda text: told(text, finishReason="STOP")),
        EVENTS,
    )


def _converse() -> Answers:
    usage = {"inputTokens": 19, "outputTokens": 500, "totalTokens": 519}

    def whole(text: str) -> Any:
        message = {"role": "assistant", "content": [{"text": text}]}
        return {"output": {"message": message}, "stopReason": "end_turn", "usage": usage, "metrics": {"latencyMs": 400}}

    return Answers(
        "bedrock.converse_stream",
        event("messageStart", {"role": "assistant", "p": "abc"}),
        [
            event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": word}, "p": padding})
            for word, padding in _words()
        ],
        event("messageStop", {"stopReason": "end_turn"}) + event("metadata", {"usage": usage, "metrics": {}}),
        _padded(whole),
        EVENT_STREAM,
    )


FAMILIES: Mapping[str, Answers] = {
    "OpenAI chat": _chat(),
    "OpenAI responses": _responses(),
    "Anthropic messages": _anthropic(),
    "Gemini": _gemini(),
    "Bedrock Converse": _converse(),
}
