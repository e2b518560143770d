"""The tool calls of chat completions, whole and in deltas.

https://platform.openai.com/docs/api-reference/chat/object
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .values import count, mapping, rows, text

__all__ = ["called_in", "streamed_calls"]

_LONGEST = 16_384


def called_in(message: dict[str, Any]) -> list[tuple[str, object]]:
    """Return (name, arguments) of a message's tool calls, of its custom ones and of the older `function_call`."""
    found: list[tuple[str, object]] = []
    if not (message.get("tool_calls") or message.get("function_call")):
        return found
    for call in [*rows(message.get("tool_calls")), {"function": message.get("function_call")}]:
        function = mapping(call.get("function")) or mapping(call.get("custom"))
        if name := text(function.get("name")):
            found.append((name, function.get("arguments", function.get("input"))))
    return found


def streamed_calls(named: list[dict[str, Any]], fragments: list[dict[str, Any]]) -> list[tuple[str, object]]:
    """Join the deltas of each call: the one with its name opens it, those without add to its arguments."""
    opened: list[tuple[str, list[str]]] = []
    latest: dict[tuple[object, object], tuple[object, list[str]]] = {}
    for key, call, function in _deltas(named):
        identity, name, held = call.get("id"), text(function.get("name")), latest.get(key)
        if not name:
            continue
        # Gemini gives every call index 0, others repeat the name in every delta: a new id makes a new call.
        if held is None or identity != held[0] or call.get("index") is None:
            held = latest[key] = (identity, [])
            opened.append((name, held[1]))
        held[1].append(_fragment(function))
    for key, _, function in _deltas(fragments):
        if key in latest:
            latest[key][1].append(_fragment(function))
    return [(name, "".join(parts)) for name, parts in opened]


def _fragment(function: dict[str, Any]) -> str:
    return text(function.get("arguments", function.get("input")), _LONGEST) or ""


def _deltas(events: list[dict[str, Any]]) -> Iterator[tuple[tuple[object, object], dict[str, Any], dict[str, Any]]]:
    """Yield ((choice index, call index), call, function) of every call; Writer calls its delta a message."""
    for event in events:
        for choice in rows(event.get("choices")):
            delta = mapping(choice.get("delta")) or mapping(choice.get("message"))
            for call in [*rows(delta.get("tool_calls")), {"function": delta.get("function_call")}]:
                function = mapping(call.get("function")) or mapping(call.get("custom"))
                yield (count(choice.get("index")), count(call.get("index"))), call, function
