"""Answers in OpenAI's formats, and in those that are much like them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.making import EVENTS, Answers, padded, sse, words

__all__ = ["FAMILIES"]

_USAGE = {"prompt_tokens": 19, "completion_tokens": 500, "total_tokens": 519}
_DONE = b"data: [DONE]\n\n"


def _chat() -> Answers:
    base = {"id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT", "created": 1741569952, "model": "gpt-4o-mini-2024-07-18"}

    def chunk(delta: dict[str, str], finish: str | None, padding: str) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        told = {**base, "object": "chat.completion.chunk", "service_tier": "default", "choices": [choice]}
        return sse({**told, "usage": None, "obfuscation": padding})

    def whole(text: str) -> Any:
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        return {**base, "object": "chat.completion", "choices": [choice], "usage": _USAGE}

    return Answers(
        "openai.chat",
        chunk({"role": "assistant", "content": ""}, None, "x"),
        [chunk({"content": word}, None, padding) for word, padding in words()],
        chunk({}, "stop", "x") + sse({**base, "choices": [], "usage": _USAGE}) + _DONE,
        padded(whole),
        EVENTS,
    )


def _counted_chat() -> Answers:
    """Return a chat whose every chunk counts what was used so far, as xAI's and Perplexity's."""
    base = {"id": "0daf962f-a275-4a3c-839a-047854645532", "created": 1741569952, "model": "grok-4"}

    def chunk(delta: dict[str, str], finish: str | None, number: int) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        usage = {**_USAGE, "completion_tokens": number, "total_tokens": 19 + number}
        details = {"prompt_tokens_details": {"text_tokens": 19, "audio_tokens": 0, "cached_tokens": 0}}
        return sse({**base, "object": "chat.completion.chunk", "choices": [choice], "usage": {**usage, **details}})

    return Answers(
        "openai.chat",
        chunk({"role": "assistant", "content": ""}, None, 0),
        [chunk({"content": word}, None, number) for number, (word, _) in enumerate(words())],
        chunk({}, "stop", 500) + _DONE,
        b"",
        EVENTS,
    )


def _completions() -> Answers:
    base = {"id": "cmpl-C47NOaCIl9N1MIAuyc5euKf6hpnqn", "object": "text_completion", "created": 1755097702}
    model = {"model": "gpt-3.5-turbo-instruct:20230824-v2"}

    def told(text: str, finish: str | None) -> Any:
        choice = {"text": text, "index": 0, "logprobs": None, "finish_reason": finish}
        return {**base, "choices": [choice], **model, "usage": None}

    return Answers(
        "openai.completions",
        sse(told("A", None)),
        [sse(told(word, None)) for word, _ in words()],
        sse(told("", "stop")) + sse({**base, **model, "choices": [], "usage": _USAGE}) + _DONE,
        padded(lambda text: {**told(text, "stop"), "usage": _USAGE}),
        EVENTS,
    )


def _responses() -> Answers:
    base = {"id": "resp_67ccd2bed1ec8190b14f964abc054267", "object": "response", "model": "gpt-5"}
    usage = {"input_tokens": 19, "output_tokens": 500, "total_tokens": 519}

    def delta(number: int, word: str, padding: str) -> bytes:
        kind = "response.output_text.delta"
        place = {"item_id": "msg_67ccd2bf17f0819081ff3bb2cf6508e6", "output_index": 0, "content_index": 0}
        told = {"type": kind, "sequence_number": number, **place, "delta": word, "logprobs": [], "obfuscation": padding}
        return sse(told, kind)

    def whole(text: str) -> Any:
        message = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
        return {**base, "status": "completed", "output": [message], "usage": usage}

    def turn(kind: str, response: Any) -> bytes:
        return sse({"type": kind, "sequence_number": 0, "response": response}, kind)

    return Answers(
        "openai.responses",
        turn("response.created", {**base, "status": "in_progress", "output": [], "usage": None}),
        [delta(number, *said) for number, said in enumerate(words())],
        turn("response.completed", whole("word " * 500)),
        padded(whole),
        EVENTS,
    )


def _assistant() -> Answers:
    run = {"id": "run_B5f5IVSEP7Sa7tif3hCrtSbo", "object": "thread.run", "model": "gpt-4", "last_error": None}

    def delta(word: str) -> bytes:
        content = {"index": 0, "type": "text", "text": {"value": word}}
        base = {"id": "msg_C0TO06fRsSKvo3dbtmTPtP77", "object": "thread.message.delta"}
        return sse({**base, "delta": {"content": [content]}}, "thread.message.delta")

    return Answers(
        "openai.assistants.run",
        sse({**run, "status": "queued", "usage": None}, "thread.run.created"),
        [delta(word) for word, _ in words()],
        sse({**run, "status": "completed", "usage": _USAGE}, "thread.run.completed") + b"event: done\n" + _DONE,
        b"",
        EVENTS,
    )


def _transcription() -> Answers:
    usage = {"type": "tokens", "total_tokens": 519, "input_tokens": 19, "output_tokens": 500}

    def event(told: Any) -> bytes:
        return sse(told, end=b"\r\n\r\n")

    return Answers(
        "openai.audio.transcriptions",
        event({"type": "transcript.text.delta", "delta": "A"}),
        [event({"type": "transcript.text.delta", "delta": word}) for word, _ in words()],
        event({"type": "transcript.text.done", "text": "word " * 500, "usage": usage}) + b"data: [DONE]\r\n\r\n",
        b"",
        EVENTS,
    )


def _mistral() -> Answers:
    base = {"id": "f8bfe790d883421b8e3baee516ec5a37", "object": "chat.completion.chunk", "created": 1787150060}
    model = {"model": "mistral-small-latest"}

    def told(delta: dict[str, str], finish: str | None) -> Any:
        return {**base, **model, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

    return Answers(
        "openai.chat",
        sse(told({"role": "assistant", "content": ""}, None)),
        [sse({**told({"content": word}, None), "p": padding}) for word, padding in words()],
        sse({**told({"content": ""}, "stop"), "usage": _USAGE, "p": "x"}) + _DONE,
        b"",
        EVENTS,
    )


def _conversation() -> Answers:
    usage = {**_USAGE, "connector_tokens": 0}

    def event(kind: str, **told: Any) -> bytes:
        return sse({"type": kind, "created_at": "2026-01-02T03:04:05.678901Z", **told}, kind)

    def delta(word: str) -> bytes:
        place = {"output_index": 0, "id": "msg_0197a8e8e3b07c4f9d1f0c5d6e7f8a9b", "content_index": 0}
        return event("message.output.delta", **place, model="mistral-medium-latest", role="assistant", content=word)

    return Answers(
        "mistral.conversations",
        event("conversation.response.started", conversation_id="conv_0197a8e8e1a2"),
        [delta(word) for word, _ in words()],
        event("conversation.response.done", usage=usage),
        b"",
        EVENTS,
    )


def _generation() -> Answers:
    details = {"finish_reason": "length", "generated_tokens": 500, "input_length": 19, "seed": None}

    def event(number: int, word: str, details: Any) -> bytes:
        token = {"id": 1000 + number, "text": word, "logprob": -0.25, "special": False}
        told = {"index": number, "token": token, "generated_text": None, "details": details}
        return b"data:" + sse(told)[6:]  # without the space, as these servers send it

    return Answers(
        "huggingface.generate",
        event(0, "A", None),
        [event(number, word, None) for number, (word, _) in enumerate(words(), 1)],
        event(501, ".", details),
        b"",
        EVENTS,
    )


FAMILIES: Mapping[str, Answers] = {
    "OpenAI chat": _chat(),
    "OpenAI chat, counts in each chunk": _counted_chat(),
    "OpenAI completions": _completions(),
    "OpenAI responses": _responses(),
    "OpenAI assistants": _assistant(),
    "OpenAI transcriptions": _transcription(),
    "Mistral chat": _mistral(),
    "Mistral conversations": _conversation(),
    "Hugging Face generation": _generation(),
}
