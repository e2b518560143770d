"""OpenAI's Responses (https://platform.openai.com/docs/api-reference/responses and .../responses-streaming)."""

from collections.abc import Iterator
from typing import Final

from payi_middleware.demo import sse
from payi_middleware.demo.turn import TOOL_ARGUMENTS, Json, Turn, new_id

_ECHOED: Final = (
    "instructions",
    "max_output_tokens",
    "metadata",
    "previous_response_id",
    "reasoning",
    "store",
    "temperature",
    "text",
    "top_p",
    "user",
)


def _usage(turn: Turn) -> Json:
    return {
        "input_tokens": turn.input_total,
        "input_tokens_details": {
            "cached_tokens": turn.behaviour.cached_tokens,
            "cache_write_tokens": turn.cache_write,
        },
        "output_tokens": turn.output_total,
        "output_tokens_details": {"reasoning_tokens": turn.behaviour.reasoning_tokens},
        "total_tokens": turn.input_total + turn.output_total,
    }


def _text_part(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _output(turn: Turn, text: str) -> list[Json]:
    items: list[Json] = []
    if turn.behaviour.reasoning_tokens:
        items.append({"id": new_id("rs_"), "type": "reasoning", "summary": []})
    for _ in range(turn.behaviour.web_searches):
        action = {"type": "search", "query": "stand-in", "queries": ["stand-in"]}
        items.append({"id": new_id("ws_"), "type": "web_search_call", "status": "completed", "action": action})
    message = {"type": "message", "status": "completed", "role": "assistant", "content": [_text_part(text)]}
    items.append({"id": new_id("msg_"), **message})
    if turn.behaviour.tool_call:
        call = {"type": "function_call", "status": "completed", "call_id": new_id("call_")}
        call |= {"name": turn.behaviour.tool_call, "arguments": TOOL_ARGUMENTS}
        items.append({"id": new_id("fc_"), **call})
    return items


def _response(turn: Turn, status: str, output: list[Json], usage: Json | None) -> Json:
    body: Json = {
        "id": turn.response_id,
        "object": "response",
        "created_at": turn.created,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "model": turn.model,
        "output": output,
        "parallel_tool_calls": True,
        "service_tier": "default",
        "tool_choice": turn.request.get("tool_choice", "auto"),
        "tools": turn.request.get("tools", []),
        "truncation": "disabled",
        "usage": usage,
    }
    return body | {key: turn.request.get(key) for key in _ECHOED}


def response(turn: Turn) -> Json:
    """Answer a response."""
    return _response(turn, "completed", _output(turn, turn.answer), _usage(turn))


def _message_events(turn: Turn, item: Json, where: Json) -> Iterator[Json]:
    place = where | {"content_index": 0}
    yield {"type": "response.content_part.added", **place, "part": _text_part("")}
    for part in turn.streamed_parts:
        yield {"type": "response.output_text.delta", **place, "delta": part, "logprobs": []}
    text = item["content"][0]["text"]
    yield {"type": "response.output_text.done", **place, "text": text, "logprobs": []}
    yield {"type": "response.content_part.done", **place, "part": _text_part(text)}


def _item_events(turn: Turn, item: Json, index: int) -> Iterator[Json]:
    where: Json = {"item_id": item["id"], "output_index": index}
    opened = item | {"status": "in_progress"}
    if item["type"] == "message":
        opened["content"] = []
    elif item["type"] == "function_call":
        opened["arguments"] = ""
    yield {"type": "response.output_item.added", "output_index": index, "item": opened}
    if item["type"] == "message":
        yield from _message_events(turn, item, where)
    elif item["type"] == "function_call":
        yield {"type": "response.function_call_arguments.delta", **where, "delta": TOOL_ARGUMENTS}
        done = {"name": item["name"], "arguments": TOOL_ARGUMENTS}
        yield {"type": "response.function_call_arguments.done", **where, **done}
    elif item["type"] == "web_search_call":
        for stage in ("in_progress", "searching", "completed"):
            yield {"type": f"response.web_search_call.{stage}", **where}
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def _events(turn: Turn) -> Iterator[Json]:
    started = _response(turn, "in_progress", [], None)
    yield {"type": "response.created", "response": started}
    yield {"type": "response.in_progress", "response": started}
    output = _output(turn, turn.answer)
    for index, item in enumerate(output):
        yield from _item_events(turn, item, index)
    yield {"type": "response.completed", "response": _response(turn, "completed", output, _usage(turn))}


def response_stream(turn: Turn) -> Iterator[str]:
    """Stream a response, from `response.created` to `response.completed`."""
    for number, value in enumerate(_events(turn)):
        yield sse.event(value | {"sequence_number": number})
