"""The responses API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from payi_middleware.providers import Answer, FunctionCall, Match, Usage, open_reader

Read = Callable[..., Answer]
API = "openai.responses"
COUNTS = {
    "input_tokens": 30,
    "input_tokens_details": {"cached_tokens": 10},
    "output_tokens": 12,
    "output_tokens_details": {"reasoning_tokens": 4},
    "total_tokens": 42,
}
USAGE = Usage(input_tokens=30, output_tokens=12, cache_read=10, reasoning=4)
CALL = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "weather", "arguments": '{"city":"Rome"}'}


def response(status: str = "completed", usage: Any = COUNTS, **members: Any) -> dict[str, Any]:
    known = {"id": "resp_1", "object": "response", "status": status, "model": "gpt-5", "output": [], "usage": usage}
    return known | members


def event(kind: str, **members: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}", "sequence_number": 0} | members


CREATED = event("created", response=response("in_progress", None))
DELTA = event("output_text.delta", item_id="msg_1", delta="Hi")


def test_a_response_tells_usage_id_model_status_and_tier(body: Read) -> None:
    assert body(API, response(service_tier="default")) == Answer(
        usage=USAGE, response_id="resp_1", model="gpt-5", finish_reason="completed", service_tier="default"
    )


def test_only_the_apps_own_tools_are_function_calls(body: Read) -> None:
    output = [
        {"type": "web_search_call", "name": "search"},
        CALL,
        {"type": "custom_tool_call", "name": "shell", "input": "ls"},
        {"type": "message", "content": []},
    ]
    called = body(API, response(output=output)).function_calls
    assert called == (FunctionCall("weather", '{"city":"Rome"}'), FunctionCall("shell", "ls"))


def test_a_queued_response_has_no_usage_yet(body: Read) -> None:
    answer = body(API, response("queued", None))
    assert answer.usage is None
    assert answer.notes == {"system.usage.missing": "response is not complete"}


def test_a_compaction_has_usage_without_a_model(body: Read) -> None:
    answer = body(API, {"id": "resp_2", "object": "response.compaction", "output": [], "usage": COUNTS})
    assert (answer.usage, answer.model, answer.response_id) == (USAGE, None, "resp_2")


@pytest.mark.parametrize("kind", ["completed", "incomplete", "failed"])
def test_the_terminal_event_has_the_usage(stream: Read, kind: str) -> None:
    answer = stream(API, CREATED, DELTA, event(kind, response=response(kind)))
    assert (answer.usage, answer.response_id, answer.model, answer.finish_reason) == (USAGE, "resp_1", "gpt-5", kind)


def test_a_failed_response_tells_its_error(stream: Read) -> None:
    error = {"code": "rate_limit_exceeded", "message": "Slow down"}
    answer = stream(API, CREATED, event("failed", response=response("failed", None, error=error)))
    assert (answer.error_code, answer.error_message) == ("rate_limit_exceeded", "Slow down")
    assert answer.notes == {"system.usage.missing": "provider sent no usage"}


@pytest.mark.parametrize(
    "error",
    [
        {"type": "error", "code": "server_error", "message": "Broken"},
        {"type": "error", "error": {"type": "server_error", "message": "Broken"}},
        {"error": {"code": "server_error", "message": "Broken"}},
    ],
)
def test_an_error_event_ends_the_stream(stream: Read, error: dict[str, Any]) -> None:
    answer = stream(API, CREATED, DELTA, error)
    assert (answer.error_code, answer.error_message, answer.response_id) == ("server_error", "Broken", "resp_1")
    assert answer.notes == {"system.usage.missing": "error inside the stream"}


def test_calls_are_read_from_items_when_the_final_output_is_empty(stream: Read) -> None:
    done = event("output_item.done", item=CALL, output_index=0)
    answer = stream(API, CREATED, done, event("completed", response=response()))
    assert answer.function_calls == (FunctionCall("weather", '{"city":"Rome"}'),)


def test_calls_are_not_doubled_when_both_tell_them(stream: Read) -> None:
    done = event("output_item.done", item=CALL, output_index=0)
    answer = stream(API, CREATED, done, event("completed", response=response(output=[CALL])))
    assert len(answer.function_calls) == 1


def test_a_call_with_arguments_too_long_to_keep_is_still_named(stream: Read) -> None:
    long = {key: CALL[key] for key in ("type", "id")} | {"arguments": "x" * 50_000, "name": "write"}
    answer = stream(API, CREATED, event("output_item.done", item=long), event("completed", response=response()))
    assert answer.function_calls == (FunctionCall("write", None),)


def test_a_truncated_stream_keeps_id_and_model(stream: Read) -> None:
    answer = stream(API, CREATED, DELTA)
    assert (answer.response_id, answer.model, answer.finish_reason) == ("resp_1", "gpt-5", None)
    assert answer.notes == {"system.usage.missing": "stream ended before usage"}


def test_a_giant_terminal_event_still_has_its_usage(stream: Read) -> None:
    text = [{"type": "message", "content": [{"type": "output_text", "text": 'He said "usage":{} \\ ' * 20_000}]}]
    giant = response(output=text)
    giant["usage"] = giant.pop("usage")  # after the output, where OpenAI puts it
    answer = stream(API, CREATED, DELTA, event("completed", response=giant | {"user": None}))
    assert (answer.usage, answer.response_id, answer.model) == (USAGE, "resp_1", "gpt-5")


def test_members_in_another_order_change_nothing(stream: Read) -> None:
    final = dict(reversed(event("completed", response=response()).items()))
    assert stream(API, dict(reversed(CREATED.items())), final).usage == USAGE


def test_reasoning_is_a_token_and_text_is_a_completion() -> None:
    reader = open_reader(Match(API, "c", "openai"), 200, {"content-type": "text/event-stream"})
    marks = []
    for kind in ("created", "reasoning_summary_text.delta", "reasoning_text.delta", "output_text.delta"):
        reader.feed(
            b'event: response.%s\ndata: {"type":"response.%s","delta":"x"}\n\n' % (kind.encode(), kind.encode())
        )
        marks.append((reader.first_token, reader.first_completion))
    assert marks == [(False, False), (True, False), (True, False), (True, True)]


# --- in the background -----------------------------------------------------------------------------------------------

PICKED_UP = "openai.responses.retrieve"
CREATED_BEHIND = event("created", response=response("queued", None, background=True))


@pytest.mark.parametrize("api", [API, PICKED_UP])
@pytest.mark.parametrize("status", ["queued", "in_progress"])
def test_a_response_that_is_not_complete_is_no_inference_yet(body: Read, api: str, status: str) -> None:
    assert not body(api, response(status, None, background=True)).inference


def test_a_background_response_counts_when_it_is_picked_up_under_its_id(body: Read) -> None:
    answer = body(PICKED_UP, response(background=True))
    assert (answer.usage, answer.response_id, answer.inference, answer.unique_id) == (USAGE, "resp_1", True, True)


def test_a_response_that_was_counted_when_it_was_generated_does_not_count_when_it_is_looked_at(body: Read) -> None:
    assert body(API, response(background=False)).inference
    for looked_at in (response(background=False), response()):
        answer = body(PICKED_UP, looked_at)
        assert answer.usage == USAGE
        assert not answer.inference


def test_a_background_stream_counts_at_its_end_and_leaves_its_id_free_when_it_is_left(stream: Read) -> None:
    ended = stream(API, CREATED_BEHIND, DELTA, event("completed", response=response(background=True)))
    assert (ended.inference, ended.unique_id) == (True, True)
    left = stream(API, CREATED_BEHIND, DELTA)
    assert (left.inference, left.unique_id, left.response_id) == (True, False, "resp_1")
    assert stream(API, CREATED, DELTA).unique_id


def test_a_stream_that_is_taken_up_again_counts_only_if_it_ends(stream: Read) -> None:
    assert not stream(PICKED_UP, CREATED_BEHIND, DELTA).inference
    final = event("completed", response=response(background=True))
    assert stream(PICKED_UP, CREATED_BEHIND, DELTA, final).inference
    assert not stream(PICKED_UP, CREATED, DELTA, event("completed", response=response())).inference


def test_a_failed_look_is_no_failed_inference(body: Read) -> None:
    error = {"error": {"code": "not_found", "message": "No such response"}}
    assert not body(PICKED_UP, error, status=404).inference
    assert body(API, error, status=404).inference


def test_ollamas_ids_are_drawn_of_a_million(body: Read) -> None:
    assert not body(API, response(id="resp_417001"), provider="ollama").unique_id
    assert body(API, response(id="resp_417001")).unique_id


def test_the_older_name_of_the_last_event_is_one(stream: Read) -> None:
    answer = stream(API, CREATED, DELTA, event("done", response=response()))
    assert (answer.usage, answer.finish_reason) == (USAGE, "completed")
