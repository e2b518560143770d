"""Anthropic's messages (https://docs.claude.com/en/api/messages, .../messages-streaming and .../errors)."""

import json
from collections.abc import Iterator
from typing import Final

from payi_middleware.demo import sse
from payi_middleware.demo.turn import TOOL_ARGUMENTS, Json, Turn, new_id

_ERRORS: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}


def error(status: int, message: str) -> Json:
    """Return the body of an error answer."""
    kind = _ERRORS.get(status, "api_error")
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": new_id("req_")}


def _usage(turn: Turn, output_tokens: int) -> Json:
    behaviour = turn.behaviour
    searches = {"web_search_requests": behaviour.web_searches, "web_fetch_requests": 0}
    return {
        "input_tokens": turn.prompt_words,  # cached tokens are counted beside it, not within it
        "cache_creation_input_tokens": turn.cache_write,
        "cache_read_input_tokens": behaviour.cached_tokens,
        "cache_creation": {
            "ephemeral_5m_input_tokens": behaviour.cache_write_tokens,
            "ephemeral_1h_input_tokens": behaviour.cache_write_1h_tokens,
        },
        "output_tokens": output_tokens,
        "output_tokens_details": {"thinking_tokens": behaviour.reasoning_tokens},
        "server_tool_use": searches if behaviour.web_searches else None,
        "service_tier": "standard",
        "inference_geo": "not_available",
    }


def _content(turn: Turn, text: str) -> list[Json]:
    blocks: list[Json] = []
    for _ in range(turn.behaviour.web_searches):
        use = {"type": "server_tool_use", "id": new_id("srvtoolu_"), "name": "web_search"}
        blocks.append({**use, "input": {"query": "stand-in"}})
        blocks.append({"type": "web_search_tool_result", "tool_use_id": use["id"], "content": []})
    blocks.append({"type": "text", "text": text, "citations": None})
    if name := turn.behaviour.tool_call:
        call = {"type": "tool_use", "id": new_id("toolu_"), "name": name}
        blocks.append({**call, "input": json.loads(TOOL_ARGUMENTS)})
    return blocks


def _stop_reason(turn: Turn) -> str:
    return "end_turn" if turn.behaviour.tool_call is None else "tool_use"


def message(turn: Turn) -> Json:
    """Answer a message."""
    return {
        "id": turn.response_id,
        "type": "message",
        "role": "assistant",
        "model": turn.model,
        "content": _content(turn, turn.answer),
        "stop_reason": _stop_reason(turn),
        "stop_sequence": None,
        "usage": _usage(turn, turn.output_total),
    }


def _deltas(turn: Turn, block: Json) -> Iterator[Json]:
    if block["type"] == "text":
        for part in turn.streamed_parts:
            yield {"type": "text_delta", "text": part}
    elif "input" in block:
        yield {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}


def _opened(block: Json) -> Json:
    empty: Json = {"text": "", "input": {}}
    return {key: empty.get(key, value) for key, value in block.items()}


def _events(turn: Turn) -> Iterator[Json]:
    whole = message(turn)
    opening: Json = {"content": [], "stop_reason": None, "usage": _usage(turn, 1) | {"server_tool_use": None}}
    yield {"type": "message_start", "message": whole | opening}
    for index, block in enumerate(whole["content"]):
        yield {"type": "content_block_start", "index": index, "content_block": _opened(block)}
        if index == 0:
            yield {"type": "ping"}
        for delta in _deltas(turn, block):
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    counted = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")
    usage = {key: whole["usage"][key] for key in (*counted, "output_tokens_details", "server_tool_use")}
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": _stop_reason(turn), "stop_sequence": None},
        "usage": {key: value for key, value in usage.items() if value is not None},
    }
    yield {"type": "message_stop"}


def message_stream(turn: Turn) -> Iterator[str]:
    """Stream a message, from `message_start` to `message_stop`."""
    yield from map(sse.event, _events(turn))


def count_tokens(turn: Turn) -> Json:
    """Answer how many tokens a message would take; nothing is generated and nothing is billed."""
    return {"input_tokens": turn.prompt_words}
