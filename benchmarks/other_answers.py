"""Answers in formats of their own: Anthropic's, Google's, Amazon's, Cohere's, Ollama's and IBM's."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from tests.providers.aws_frames import EVENT_STREAM, event, frame

from benchmarks.making import BODY, EVENTS, LINES, Answers, cut_anywhere, dumped, line, padded, sentences, sse, words

__all__ = ["FAMILIES"]

_METRICS = {
    "amazon-bedrock-invocationMetrics": {
        "inputTokenCount": 19,
        "outputTokenCount": 500,
        "invocationLatency": 5_120,
        "firstByteLatency": 410,
    }
}
_TOKENS = {"input_tokens": 19, "output_tokens": 500}
# Amazon fills its events up with the beginning of this.
_PADDING = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def _messages() -> tuple[Any, list[Any], list[Any], bytes]:
    """Return the first event of a message, its deltas, its last events, and a whole one."""
    base = {"id": "msg_01XFDUDYJgAACzvnptvVoYEL", "type": "message", "role": "assistant", "model": "claude-haiku-4-5"}

    def whole(text: str) -> Any:
        usage = {"input_tokens": 19, "cache_read_input_tokens": 0, "output_tokens": 500}
        return {**base, "content": [{"type": "text", "text": text}], "stop_reason": "end_turn", "usage": usage}

    def delta(word: str) -> Any:
        return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}

    start = {"type": "message_start", "message": {**base, "content": [], "usage": {"input_tokens": 19}}}
    end = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 500}}
    return start, [delta(word) for word, _ in words()], [end, {"type": "message_stop"}], padded(whole)


def _anthropic() -> Answers:
    start, deltas, ending, body = _messages()
    return Answers(
        "anthropic.messages",
        sse(start, start["type"]),
        [sse(told, told["type"]) for told in deltas],
        b"".join(sse(told, told["type"]) for told in ending),
        body,
        EVENTS,
    )


def _gemini_told(text: str, answered: int, **candidate: Any) -> Any:
    content = {"parts": [{"text": text}], "role": "model"}
    counted = {"promptTokenCount": 19, "candidatesTokenCount": answered, "totalTokenCount": 19 + answered}
    usage = {**counted, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 19}]}
    named = {"modelVersion": "gemini-2.5-flash", "responseId": "mAitaLmkHPPlz7IPvtfUqQ4"}
    return {"candidates": [{"content": content, **candidate, "index": 0}], "usageMetadata": usage, **named}


def _gemini() -> Answers:
    def told(text: str, answered: int, **candidate: Any) -> bytes:
        return sse(_gemini_told(text, answered, **candidate), end=b"\r\n\r\n")

    return Answers(
        "gemini.stream_generate",
        told("A", 1),
        [told(text, number) for number, text in enumerate(sentences(), 1)],
        told(".", 500, finishReason="STOP"),
        padded(lambda text: _gemini_told(text, 500, finishReason="STOP")),
        EVENTS,
    )


def _gemini_array(times: int = 1) -> Answers:
    """Return the stream that comes without `alt=sse`: one array, whose elements are indented."""

    def told(text: str, answered: int, **candidate: Any) -> bytes:
        return json.dumps(_gemini_told(text, answered, **candidate), indent=2).encode() + b"\n"

    return Answers(
        "gemini.stream_generate",
        b"[" + told("A", 1),
        [b",\r\n" + told(text, number) for number, text in enumerate(sentences() * times, 1)],
        b",\r\n" + told(".", 500, finishReason="STOP") + b"]",
        b"",
        BODY,
    )


def _interaction() -> Answers:
    base = {"id": "v1_ChdUR3NIYXVyQkFlYVA2ZGtQajZERThBVRIX", "object": "interaction", "model": "gemini-2.5-flash"}
    usage = {"total_tokens": 519, "total_input_tokens": 19, "total_output_tokens": 500, "total_thought_tokens": 0}

    def turn(kind: str, **told: Any) -> bytes:
        return sse({**told, "event_type": kind}, kind)

    return Answers(
        "gemini.interactions",
        turn("interaction.created", interaction={**base, "status": "in_progress"})
        + turn("step.start", index=0, step={"type": "model_output"}),
        [turn("step.delta", index=0, delta={"text": text, "type": "text"}) for text in sentences()],
        turn("step.stop", index=0)
        + turn("interaction.completed", interaction={**base, "status": "completed", "usage": usage})
        + b"event: done\ndata: [DONE]\n\n",
        b"",
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
            event(
                "contentBlockDelta",
                {"contentBlockIndex": 0, "delta": {"text": word}, "p": _PADDING[: 7 + at * 29 % 56]},
            )
            for at, (word, _) in enumerate(words())
        ],
        event("messageStop", {"stopReason": "end_turn"}) + event("metadata", {"usage": usage, "metrics": {}}),
        padded(whole),
        EVENT_STREAM,
    )


def _invoked(*told: Any) -> list[bytes]:
    """Return the events of a model, as Bedrock's `invoke` wraps them."""
    inner = [base64.b64encode(dumped(one)).decode() for one in told]
    return [event("chunk", {"bytes": one, "p": _PADDING[: 7 + at * 29 % 56]}) for at, one in enumerate(inner)]


def _invoked_anthropic() -> Answers:
    start, deltas, (end, stop), _ = _messages()
    ending = _invoked(end, {**stop, **_METRICS})
    return Answers("bedrock.invoke_stream", _invoked(start)[0], _invoked(*deltas), b"".join(ending), b"", EVENT_STREAM)


def _invoked_nova() -> Answers:
    usage = {"inputTokens": 19, "outputTokens": 500, "cacheReadInputTokenCount": 0, "cacheWriteInputTokenCount": 0}
    deltas = [{"contentBlockDelta": {"delta": {"text": word}, "contentBlockIndex": 0}} for word, _ in words()]
    end = {"metadata": {"usage": usage, "metrics": {}, "trace": {}}, **_METRICS}
    return Answers(
        "bedrock.invoke_stream",
        _invoked({"messageStart": {"role": "assistant"}})[0],
        _invoked(*deltas),
        b"".join(_invoked({"messageStop": {"stopReason": "end_turn"}}, end)),
        b"",
        EVENT_STREAM,
    )


def _invoked_llama() -> Answers:
    def told(word: str, asked: int | None, answered: int, stop: str | None) -> Any:
        counted = {"prompt_token_count": asked, "generation_token_count": answered}
        return {"generation": word, **counted, "stop_reason": stop}

    return Answers(
        "bedrock.invoke_stream",
        _invoked(told("A", 19, 1, None))[0],
        _invoked(*(told(word, None, number, None) for number, (word, _) in enumerate(words(), 2))),
        _invoked({**told("", None, 500, "stop"), **_METRICS})[0],
        b"",
        EVENT_STREAM,
    )


def _sagemaker() -> Answers:
    """Return what a server of TGI's kind, on an endpoint, sends in parts."""
    base = {"id": "", "object": "chat.completion.chunk", "created": 1741569952, "model": "mistral-7b"}
    usage = {"prompt_tokens": 19, "completion_tokens": 500, "total_tokens": 519}

    def part(word: str, **more: Any) -> bytes:
        told = sse({**base, "choices": [{"index": 0, "delta": {"role": "assistant", "content": word}}], **more})
        headers = {":event-type": "PayloadPart", ":content-type": "application/octet-stream", ":message-type": "event"}
        return frame(headers, told)

    return Answers(
        "sagemaker.invoke",
        part("A"),
        [part(word) for word, _ in words()],
        part("", usage=usage),
        b"",
        EVENT_STREAM,
    )


def _cohere() -> Answers:
    usage = {"billed_units": _TOKENS, "tokens": {"input_tokens": 521, "output_tokens": 507}}
    base = {"id": "3ec845ed-ebb1-4223-9648-4e5632d5c6b5"}

    def turn(kind: str, **told: Any) -> bytes:
        return sse({"type": kind, **told}, kind)

    def whole(text: str) -> Any:
        message = {"role": "assistant", "content": [{"type": "text", "text": text}]}
        return {**base, "message": message, "finish_reason": "COMPLETE", "usage": usage}

    return Answers(
        "cohere.v2.chat",
        turn("message-start", **base, delta={"message": {"role": "assistant", "content": []}})
        + turn("content-start", index=0, delta={"message": {"content": {"type": "text", "text": ""}}}),
        [turn("content-delta", index=0, delta={"message": {"content": {"text": word}}}) for word, _ in words()],
        turn("content-end", index=0) + turn("message-end", delta={"finish_reason": "COMPLETE", "usage": usage}),
        padded(whole),
        EVENTS,
    )


def _cohere_1() -> Answers:
    usage = {"billed_units": _TOKENS, "tokens": {"input_tokens": 521, "output_tokens": 507}}
    base = {"response_id": "aa2bb1ea", "generation_id": "613783cf-5a8b-4d4e-b34e-d6c2223a3387"}
    response = {**base, "text": "word " * 500, "finish_reason": "COMPLETE", "meta": usage}

    def turn(kind: str, finished: bool = False, **told: Any) -> bytes:
        return line({"is_finished": finished, "event_type": kind, **told})

    return Answers(
        "cohere.v1.chat",
        turn("stream-start", generation_id=base["generation_id"]),
        [turn("text-generation", text=word) for word, _ in words()],
        turn("stream-end", finished=True, response=response, finish_reason="COMPLETE"),
        b"",
        {"content-type": "application/stream+json"},
    )


def _ollama() -> Answers:
    counted = {"prompt_eval_count": 19, "eval_count": 500, "eval_duration": 2_563_793_880}

    def told(word: str, done: bool, **last: Any) -> Any:
        named = {"model": "qwen3:4b", "created_at": "2026-08-17T15:59:50.05206Z"}
        return {**named, "message": {"role": "assistant", "content": word}, "done": done, **last}

    return Answers(
        "ollama.chat",
        line(told("A", False)),
        [line(told(word, False)) for word, _ in words()],
        line(told("", True, done_reason="stop", **counted)),
        padded(lambda text: told(text, True, done_reason="stop", **counted)),
        LINES,
    )


def _watsonx() -> Answers:
    def told(text: str, answered: int, asked: int = 0, stop: str = "not_finished") -> Any:
        result = {"generated_text": text, "generated_token_count": answered, "input_token_count": asked}
        named = {"model_id": "ibm/granite-3-8b-instruct", "created_at": "2026-03-10T14:40:37.661Z"}
        return {**named, "results": [{**result, "stop_reason": stop}]}

    def turn(number: int, text: str, asked: int = 0, stop: str = "not_finished") -> bytes:
        return b"id: %d\n" % number + sse(told(text, number, asked, stop), "message")

    return Answers(
        "watsonx.generate",
        turn(1, "", asked=19),
        [turn(number, word) for number, (word, _) in enumerate(words(), 2)],
        b"id: 502\n" + sse(told("", 500, stop="eos_token"), "message"),
        padded(lambda text: told(text, 500, 19, "eos_token")),
        EVENTS,
    )


FAMILIES: Mapping[str, Answers] = {
    "Anthropic messages": _anthropic(),
    "Gemini": _gemini(),
    "Gemini, as one array": _gemini_array(),
    "Gemini, as one array, cut anywhere": cut_anywhere(_gemini_array()),
    "Gemini, as one array of 600 KB": _gemini_array(10),
    "Gemini interactions": _interaction(),
    "Bedrock Converse": _converse(),
    "Bedrock invoke, Anthropic": _invoked_anthropic(),
    "Bedrock invoke, Nova": _invoked_nova(),
    "Bedrock invoke, Llama": _invoked_llama(),
    "SageMaker": _sagemaker(),
    "Cohere": _cohere(),
    "Cohere v1": _cohere_1(),
    "Cohere v1, cut anywhere": cut_anywhere(_cohere_1()),
    "Ollama": _ollama(),
    "Ollama, cut anywhere": cut_anywhere(_ollama()),
    "watsonx": _watsonx(),
}
