"""OpenAI's chat completions, completions, embeddings and models, and Groq's dialect of the first.

Formats: https://platform.openai.com/docs/api-reference and https://console.groq.com/docs/api-reference
"""

from collections.abc import Iterator
from typing import Final

from payi_middleware.demo import sse
from payi_middleware.demo.turn import DATED, TOOL_ARGUMENTS, Json, Turn, new_id, texts

_FINGERPRINT: Final = "fp_stand_in"
_GROQ_TIER: Final = "on_demand"
_ERRORS: Final = {
    400: ("invalid_request_error", "invalid_value"),
    401: ("invalid_request_error", "invalid_api_key"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("requests", "rate_limit_exceeded"),
}


def error(status: int, message: str) -> Json:
    """Return the body of an error answer."""
    kind, code = _ERRORS.get(status, ("server_error", None))
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def usage(turn: Turn) -> Json:
    """Return the usage of a chat completion; totals include what the details break down."""
    behaviour = turn.behaviour
    return {
        "prompt_tokens": turn.input_total,
        "completion_tokens": turn.output_total,
        "total_tokens": turn.input_total + turn.output_total,
        "prompt_tokens_details": {
            "cached_tokens": behaviour.cached_tokens,
            "cache_write_tokens": turn.cache_write,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": behaviour.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _tool_calls(turn: Turn) -> list[Json]:
    if turn.behaviour.tool_call is None:
        return []
    function = {"name": turn.behaviour.tool_call, "arguments": TOOL_ARGUMENTS}
    return [{"id": new_id("call_"), "type": "function", "function": function}]


def _finish(turn: Turn) -> str:
    return "stop" if turn.behaviour.tool_call is None else "tool_calls"


def chat(turn: Turn) -> Json:
    """Answer a chat completion."""
    message: Json = {"role": "assistant", "content": turn.answer, "refusal": None, "annotations": []}
    if calls := _tool_calls(turn):
        message["tool_calls"] = calls
    return {
        "id": turn.response_id,
        "object": "chat.completion",
        "created": turn.created,
        "model": turn.model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(turn)}],
        "usage": usage(turn),
        "service_tier": "default",
        "system_fingerprint": _FINGERPRINT,
    }


def _includes_usage(turn: Turn) -> bool:
    return bool((turn.request.get("stream_options") or {}).get("include_usage"))


def _chat_chunks(turn: Turn) -> Iterator[Json]:
    base: Json = {
        "id": turn.response_id,
        "object": "chat.completion.chunk",
        "created": turn.created,
        "model": turn.model,
        "service_tier": "default",
        "system_fingerprint": _FINGERPRINT,
    }
    if _includes_usage(turn):
        base["usage"] = None

    def chunk(delta: Json, finish: str | None = None) -> Json:
        return base | {"choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]}

    yield chunk({"role": "assistant", "content": "", "refusal": None})
    for part in turn.streamed_parts:
        yield chunk({"content": part})
    for index, call in enumerate(_tool_calls(turn)):
        yield chunk({"tool_calls": [{"index": index, **call}]})
    yield chunk({}, _finish(turn))
    if _includes_usage(turn):
        yield base | {"choices": [], "usage": usage(turn)}


def chat_stream(turn: Turn) -> Iterator[str]:
    """Stream a chat completion, with usage only where `stream_options.include_usage` asks for it."""
    yield from map(sse.data, _chat_chunks(turn))
    yield sse.DONE


def groq_usage(turn: Turn) -> Json:
    """Return usage as Groq writes it, with its times in seconds."""
    times = {"queue_time": 0.001, "prompt_time": 0.002, "completion_time": 0.003, "total_time": 0.005}
    return {
        "prompt_tokens": turn.input_total,
        "completion_tokens": turn.output_total,
        "total_tokens": turn.input_total + turn.output_total,
        "prompt_tokens_details": {"cached_tokens": turn.behaviour.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": turn.behaviour.reasoning_tokens},
        **times,
    }


def groq_chat(turn: Turn) -> Json:
    """Answer a chat completion as Groq does."""
    return chat(turn) | {"service_tier": _GROQ_TIER, "usage": groq_usage(turn), "x_groq": {"id": new_id("req_")}}


def groq_chat_stream(turn: Turn) -> Iterator[str]:
    """Stream a chat completion as Groq does: usage sits in `x_groq` of the last chunk, asked for or not."""
    request_id = new_id("req_")
    for index, chunk in enumerate(_chat_chunks(turn)):
        if chunk.get("usage"):
            chunk["usage"] = groq_usage(turn)
        elif chunk["choices"][0]["finish_reason"]:
            chunk["x_groq"] = {"id": request_id, "usage": groq_usage(turn)}
        elif index == 0:
            chunk["x_groq"] = {"id": request_id}
        yield sse.data(chunk | {"service_tier": _GROQ_TIER})
    yield sse.DONE


def _completion(turn: Turn, text: str, finish: str | None) -> Json:
    return {
        "id": turn.response_id,
        "object": "text_completion",
        "created": turn.created,
        "model": turn.model,
        "choices": [{"text": text, "index": 0, "logprobs": None, "finish_reason": finish}],
        "system_fingerprint": _FINGERPRINT,
    }


def completion(turn: Turn) -> Json:
    """Answer a (legacy) completion."""
    return _completion(turn, turn.answer, "stop") | {"usage": usage(turn)}


def completion_stream(turn: Turn) -> Iterator[str]:
    """Stream a (legacy) completion."""
    for part in turn.streamed_parts:
        yield sse.data(_completion(turn, part, None))
    yield sse.data(_completion(turn, "", "stop"))
    if _includes_usage(turn):
        yield sse.data(_completion(turn, "", None) | {"choices": [], "usage": usage(turn)})
    yield sse.DONE


def embeddings(turn: Turn) -> Json:
    """Answer an embedding of three numbers for each input, as floats or base64 as asked."""
    asked = turn.request.get("input")
    count = len(asked) if isinstance(asked, list) and not all(isinstance(item, int) for item in asked) else 1
    # Three little-endian float32: 0.5, -0.25, 0.125. The SDK asks for base64 unless told otherwise.
    vector: object = "AAAAPwAAgL4AAAA+" if turn.request.get("encoding_format") == "base64" else [0.5, -0.25, 0.125]
    tokens = sum(len(text.split()) for text in texts(asked))
    return {
        "object": "list",
        "data": [{"object": "embedding", "index": index, "embedding": vector} for index in range(count)],
        "model": turn.model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def models(turn: Turn) -> Json:
    """List the models whose dated names are known here."""
    rows = [{"id": name, "object": "model", "created": turn.created, "owned_by": "stand-in"} for name in DATED]
    return {"object": "list", "data": rows}
