"""A small exchange or two of every api, each with its usage: what the fuzzing starts from."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from payi_middleware.providers import Match
from tests.providers.aws_frames import EVENT_STREAM, frame
from tests.providers.wires import EVENTS, JSON, LINES, as_events, as_lines

ASKED: dict[str, Any] = {"model": "m-1", "stream": True, "messages": [{"role": "user", "content": "Where?"}]}


@dataclass(frozen=True)
class Golden:
    """One exchange as a provider would answer it; `counted` says that its usage is in it.

    Where `framed` is set, each line of the body is the type and the JSON of a message that it makes binary.
    """

    api: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: JSON)
    counted: bool = True
    asked: bytes = json.dumps(ASKED).encode()
    framed: Callable[[bytes, bytes], bytes] | None = None

    @property
    def match(self) -> Match:
        """What the request is recognised as."""
        family = self.api.partition(".")[0]
        return Match(self.api, f"system.{family}", family)

    def on_the_wire(self, told: bytes) -> bytes:
        """Return `told`, the body or what became of it, as it is sent."""
        if self.framed is None:
            return told
        return b"".join(self.framed(*line.partition(b" ")[::2]) for line in told.split(b"\n"))

    @property
    def name(self) -> str:
        """The name of the test."""
        kind = self.headers.get("content-type", "").rpartition("/")[2]
        return f"{self.api} {kind}"


def body(api: str, told: Any, headers: Mapping[str, str] = JSON, *, counted: bool = True) -> Golden:
    return Golden(api, json.dumps(told).encode(), headers, counted)


def events(api: str, *told: Any, named: bool = False) -> Golden:
    return Golden(api, as_events(*told, named=named), EVENTS)


def message(kind: bytes, payload: bytes) -> bytes:
    """Return a message of Amazon's event stream."""
    return frame({":event-type": kind.decode("latin-1"), ":message-type": "event"}, payload)


def wrapped(kind: bytes, payload: bytes) -> bytes:
    """Return a chunk of `invoke-with-response-stream`."""
    return message(kind, b'{"bytes":"%s","p":"abc"}' % base64.b64encode(payload))


def messages(*told: tuple[str, Any]) -> bytes:
    return b"\n".join(f"{kind} {json.dumps(payload)}".encode() for kind, payload in told)


COUNTS = {
    "prompt_tokens": 12,
    "completion_tokens": 7,
    "total_tokens": 19,
    "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 1},
    "completion_tokens_details": {"reasoning_tokens": 3},
}
CALL = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "find", "arguments": '{"what":"keys"}'}}
CHAT = {
    "id": "chatcmpl-1",
    "model": "m-1-2026",
    "choices": [{"index": 0, "message": {"content": "There", "tool_calls": [CALL]}, "finish_reason": "stop"}],
    "usage": COUNTS,
    "service_tier": "default",
}
CHAT_EVENTS: tuple[Any, ...] = (
    {"id": "chatcmpl-1", "model": "m-1-2026", "choices": [{"index": 0, "delta": {"content": "There"}}]},
    {"id": "chatcmpl-1", "choices": [{"index": 0, "delta": {"tool_calls": [CALL]}}]},
    {"id": "chatcmpl-1", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
    {"id": "chatcmpl-1", "choices": [], "usage": COUNTS},
    "[DONE]",
)
FUNCTION_CALL = {"type": "function_call", "name": "find", "arguments": "{}", "call_id": "call_1"}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "model": "m-1-2026",
    "status": "completed",
    "output": [
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}},
        FUNCTION_CALL,
    ],
    "usage": {
        "input_tokens": 12,
        "input_tokens_details": {"cached_tokens": 4},
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 3},
    },
}
RESPONSE_EVENTS: tuple[Any, ...] = (
    {"type": "response.created", "response": {"id": "resp_1", "model": "m-1-2026", "status": "in_progress"}},
    {"type": "response.output_text.delta", "delta": "There"},
    {"type": "response.output_item.done", "item": FUNCTION_CALL},
    {"type": "response.completed", "response": RESPONSE},
)
RUN = {"id": "run_1", "object": "thread.run", "status": "completed", "model": "m-1", "usage": COUNTS}
MESSAGE_USAGE = {
    "input_tokens": 5,
    "cache_read_input_tokens": 2,
    "cache_creation_input_tokens": 3,
    "cache_creation": {"ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": 2},
    "output_tokens": 7,
    "server_tool_use": {"web_search_requests": 1},
    "service_tier": "standard",
}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "model": "m-1-2026",
    "content": [{"type": "tool_use", "id": "toolu_1", "name": "find", "input": {"what": "keys"}}],
    "stop_reason": "tool_use",
    "usage": MESSAGE_USAGE,
}
MESSAGE_EVENTS: tuple[Any, ...] = (
    {"type": "message_start", "message": MESSAGE | {"content": []}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use", "name": "find", "input": {}}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "{}"}},
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 7}},
    {"type": "message_stop"},
)
CONVERSE_USAGE = {"inputTokens": 5, "outputTokens": 7, "cacheReadInputTokens": 2, "cacheWriteInputTokens": 1}
CONVERSE = {
    "output": {"message": {"content": [{"toolUse": {"toolUseId": "t", "name": "find", "input": {"a": 1}}}]}},
    "stopReason": "tool_use",
    "usage": CONVERSE_USAGE,
}
CONVERSE_EVENTS = messages(
    ("messageStart", {"role": "assistant"}),
    ("contentBlockStart", {"contentBlockIndex": 0, "start": {"toolUse": {"toolUseId": "t", "name": "find"}}}),
    ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"toolUse": {"input": "{}"}}}),
    ("messageStop", {"stopReason": "tool_use"}),
    ("metadata", {"usage": CONVERSE_USAGE, "metrics": {"latencyMs": 5}}),
)
COHERE_USAGE = {
    "billed_units": {"input_tokens": 3, "output_tokens": 7, "search_units": 1, "images": 1},
    "tokens": {"input_tokens": 12, "output_tokens": 7},
    "cached_tokens": 2,
}
COHERE = {
    "id": "c-1",
    "finish_reason": "COMPLETE",
    "message": {"tool_calls": [CALL], "content": [{"type": "text", "text": "There"}]},
    "usage": COHERE_USAGE,
}
COHERE_V1 = {
    "generation_id": "c-1",
    "text": "There",
    "finish_reason": "COMPLETE",
    "tool_calls": [{"name": "find", "parameters": {"what": "keys"}}],
    "meta": COHERE_USAGE,
}
GEMINI = {
    "candidates": [
        {"content": {"parts": [{"functionCall": {"name": "find", "args": {"a": 1}}}]}, "finishReason": "STOP"}
    ],
    "usageMetadata": {
        "promptTokenCount": 12,
        "candidatesTokenCount": 7,
        "thoughtsTokenCount": 3,
        "cachedContentTokenCount": 4,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 10}, {"modality": "AUDIO", "tokenCount": 2}],
        "totalTokenCount": 22,
    },
    "modelVersion": "m-1-2026",
    "responseId": "r-1",
}
OLLAMA = {
    "model": "m-1",
    "message": {"content": "There", "tool_calls": [CALL]},
    "response": "There",
    "done": True,
    "done_reason": "stop",
    "prompt_eval_count": 12,
    "eval_count": 7,
}
WATSONX = {
    "model_id": "m-1",
    "input_token_count": 12,
    "results": [{"stop_reason": "eos_token", "input_token_count": 12, "generated_token_count": 7}],
}
EMBEDDING = {"model": "m-1", "data": [{"embedding": [0.1, 0.2]}], "usage": {"prompt_tokens": 4, "total_tokens": 4}}
BATCH = as_lines(
    {"id": f"b-{number}", "custom_id": "c", "response": {"status_code": 200, "body": CHAT}, "error": None}
    for number in (1, 2)
)
MESSAGE_BATCH = as_lines({"custom_id": "c", "result": {"type": "succeeded", "message": MESSAGE}} for _ in (1, 2))

GOLDEN = [
    body("openai.chat", CHAT),
    events("openai.chat", *CHAT_EVENTS),
    body("openai.completions", CHAT | {"choices": [{"text": "There", "finish_reason": "stop"}]}),
    events("openai.completions", *CHAT_EVENTS),
    body("openai.embeddings", EMBEDDING),
    body("openai.rerank", EMBEDDING | {"results": [{"index": 0, "relevance_score": 0.5}]}),
    body("openai.responses", RESPONSE),
    events("openai.responses", *RESPONSE_EVENTS, named=True),
    body("openai.responses.retrieve", RESPONSE | {"background": True}),
    body("openai.images", {"created": 1, "data": [{"b64_json": "AA"}], "usage": RESPONSE["usage"]}),
    body("openai.audio.transcriptions", {"text": "There", "usage": {"type": "duration", "seconds": 3}}),
    Golden("openai.audio.speech", b"\xff\xf3" * 40, {"content-type": "audio/mpeg"}, counted=False),
    body("openai.assistants.run", RUN),
    body("openai.assistants.run.retrieve", RUN),
    Golden("openai.batch_results", BATCH, {"content-type": "application/octet-stream"}),
    body("anthropic.messages", MESSAGE),
    events("anthropic.messages", *MESSAGE_EVENTS, named=True),
    body("anthropic.complete", {"completion": "There", "stop_reason": "stop_sequence", "model": "m-1"}, counted=False),
    Golden("anthropic.batch_results", MESSAGE_BATCH, {"content-type": "application/x-jsonl"}),
    body("bedrock.converse", CONVERSE),
    Golden("bedrock.converse_stream", CONVERSE_EVENTS, EVENT_STREAM, framed=message),
    body("bedrock.invoke", MESSAGE),
    Golden(
        "bedrock.invoke_stream", messages(*(("chunk", each) for each in MESSAGE_EVENTS)), EVENT_STREAM, framed=wrapped
    ),
    body("cohere.v2.chat", COHERE),
    events(
        "cohere.v2.chat",
        {"type": "message-start", "id": "c-1"},
        {"type": "content-delta", "delta": {"message": {"content": {"text": "There"}}}},
        {"type": "tool-call-start", "delta": {"message": {"tool_calls": CALL}}},
        {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": COHERE_USAGE}},
    ),
    body("cohere.v1.chat", COHERE_V1),
    Golden(
        "cohere.v1.chat",
        as_lines([{"event_type": "text-generation", "text": "T"}, {"event_type": "stream-end", "response": COHERE_V1}]),
        LINES,
    ),
    body("cohere.v1.generate", COHERE_V1 | {"id": "c-1", "generations": [{"text": "There"}]}),
    body("cohere.v2.generate", COHERE_V1 | {"id": "c-1", "generations": [{"text": "There"}]}),
    *(
        body(f"cohere.{version}.{kind}", {"id": "c-1", "results": [], "meta": COHERE_USAGE})
        for version in ("v1", "v2")
        for kind in ("embed", "rerank")
    ),
    body("gemini.generate", GEMINI),
    body("gemini.stream_generate", [GEMINI | {"usageMetadata": {"promptTokenCount": 12}}, GEMINI]),
    events("gemini.stream_generate", GEMINI, GEMINI),
    body("gemini.embed", {"embeddings": [{"values": [0.1]}], "usageMetadata": {"promptTokenCount": 8}}),
    *(
        body(
            api,
            {
                "id": "i-1",
                "model": "m-1",
                "status": "completed",
                "outputs": [{"type": "function_call", "name": "find", "arguments": {}}],
                "usage": {"total_input_tokens": 12, "total_output_tokens": 7, "total_tokens": 19},
            },
        )
        for api in ("gemini.interactions", "gemini.interactions.retrieve")
    ),
    body(
        "vertex.predict",
        {"predictions": [{"embeddings": {"values": [0.1], "statistics": {"token_count": 4, "truncated": False}}}]},
    ),
    *(body(f"ollama.{kind}", OLLAMA) for kind in ("chat", "generate", "embed")),
    body("ollama.embeddings", {"embedding": [0.1]}, counted=False),
    Golden("ollama.chat", as_lines([{"model": "m-1", "message": {"content": "T"}, "done": False}, OLLAMA]), LINES),
    Golden("ollama.generate", as_lines([{"model": "m-1", "response": "T", "done": False}, OLLAMA]), LINES),
    body("watsonx.generate", WATSONX),
    events("watsonx.generate", WATSONX, WATSONX),
    body("watsonx.embeddings", WATSONX),
    body("watsonx.rerank", WATSONX),
    body("watsonx.chat", CHAT),
    body("sagemaker.invoke", CHAT),
    Golden("sagemaker.invoke", as_lines([CHAT | {"usage": None}, CHAT]), LINES),
    body("voyage.embeddings", EMBEDDING),
    body("voyage.rerank", EMBEDDING),
    body("mistral.ocr", {"model": "m-1", "pages": [], "usage_info": {"pages_processed": 3, "doc_size_bytes": 9}}),
    body("mistral.conversations", {"conversation_id": "conv_1", "outputs": [], "usage": COUNTS}),
    events(
        "mistral.conversations",
        {"type": "conversation.response.started", "conversation_id": "conv_1"},
        {"type": "message.output.delta", "content": "There", "model": "m-1"},
        {"type": "conversation.response.done", "usage": COUNTS},
    ),
    *(
        body(
            api,
            {"id": "p-1", "model": "m-1", "status": "succeeded", "metrics": {"input_token_count": 5, "image_count": 2}},
        )
        for api in ("replicate.predictions", "replicate.predictions.retrieve")
    ),
    body("deepgram.listen", {"metadata": {"request_id": "r-1", "duration": 2.5, "model_info": {"u": {"name": "n"}}}}),
    Golden("deepgram.speak", b"\xff\xf3" * 40, {"content-type": "audio/mpeg", "dg-char-count": "74"}),
    body(
        "alephalpha.complete",
        {"model_version": "m-1", "num_tokens_prompt_total": 12, "num_tokens_generated": 7, "completions": []},
    ),
    body(
        "huggingface.generate",
        {"generated_text": "There", "details": {"finish_reason": "length", "generated_tokens": 7}},
        {**JSON, "x-prompt-tokens": "12"},
    ),
    events(
        "huggingface.generate",
        {"index": 1, "token": {"text": "T"}, "details": None},
        {"index": 2, "token": {"text": "."}, "details": {"generated_tokens": 7, "input_length": 12}},
    ),
]
