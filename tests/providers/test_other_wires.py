"""What holds for every wire that is neither OpenAI's, Anthropic's, Google's nor Amazon's."""

from __future__ import annotations

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payi_middleware.providers import Answer, Match, open_reader
from payi_middleware.providers.answer import MISSING
from payi_middleware.providers.registry import FORMATS
from tests.providers.wires import EVENTS, JSON, LINES, as_events, as_lines

TOLD = {"usage": {"tokens": {"input_tokens": 8, "output_tokens": 3}}}
NUMBERS = {"prompt_eval_count": 8, "eval_count": 3}
RESULT = {"generated_text": "x", "stop_reason": "eos", "input_token_count": 8, "generated_token_count": 3}
USAGE = {"prompt_tokens": 8, "completion_tokens": 3}
STREAMS: dict[str, tuple[dict[str, str], bytes]] = {
    "cohere.v2.chat": (
        EVENTS,
        as_events(
            {"type": "message-start", "id": "c", "delta": {}},
            {"type": "content-delta", "delta": {"message": {"content": {"text": "é\n\n"}}}},
            {"type": "message-end", "delta": {"finish_reason": "COMPLETE", **TOLD}},
            named=True,
        ),
    ),
    "cohere.v1.chat": (
        LINES,
        as_lines(
            [
                {"event_type": "text-generation", "text": '{"a":"}'},
                {"event_type": "stream-end", "response": {"meta": TOLD["usage"]}},
            ]
        ),
    ),
    "ollama.chat": (
        LINES,
        as_lines([{"model": "m", "message": {"content": "]}\\"}}, {"model": "m", "done": True, **NUMBERS}]),
    ),
    "watsonx.generate": (EVENTS, as_events({"model_id": "m", "results": [RESULT]})),
    "mistral.conversations": (
        EVENTS,
        as_events(
            {"type": "message.output.delta", "id": "m", "content": "x"},
            {"type": "conversation.response.done", "usage": USAGE},
        ),
    ),
    "huggingface.generate": (EVENTS, as_events({"details": {"input_length": 8, "generated_tokens": 3}})),
}
OURS = sorted(
    api
    for api in FORMATS
    if api.partition(".")[0]
    in ("alephalpha", "cohere", "deepgram", "huggingface", "mistral", "ollama", "replicate", "voyage", "watsonx")
)


def read(api: str, headers: dict[str, str], raw: bytes, cuts: list[int], status: int = 200) -> Answer:
    reader = open_reader(Match(api, "c", "p"), status, headers)
    places = sorted(cut % (len(raw) + 1) for cut in cuts)
    for start, end in zip([0, *places], [*places, len(raw)], strict=True):
        reader.feed(raw[start:end])
    return reader.finish()


@pytest.mark.parametrize("squeezed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("api", STREAMS)
@given(cuts=st.lists(st.integers(0, 10_000), max_size=12))
def test_a_stream_says_the_same_however_it_is_cut(api: str, squeezed: bool, cuts: list[int]) -> None:
    headers, raw = STREAMS[api]
    if squeezed:
        headers, raw = {**headers, "content-encoding": "gzip"}, gzip.compress(raw)
    answer = read(api, headers, raw, cuts)
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (8, 3)
    assert answer.notes == {}


@pytest.mark.parametrize("api", OURS)
@given(
    raw=st.one_of(st.binary(max_size=200), st.from_regex(rb'\A(data: )?[{\["a-z_:,0-9}\] \n]{0,120}\Z')),
    headers=st.sampled_from([JSON, EVENTS, LINES, {}]),
    status=st.sampled_from([200, 201, 500]),
)
def test_whatever_comes_nothing_is_raised_and_nothing_invented(
    api: str, raw: bytes, headers: dict[str, str], status: int
) -> None:
    answer = read(api, headers, raw, [3, 50], status)
    assert answer.usage is None
    assert answer.error_message is None or status >= 400 or answer.notes
    assert status >= 400 or MISSING in answer.notes


@pytest.mark.parametrize("api", OURS)
@pytest.mark.parametrize(
    "members",
    [
        {"usage": 5, "meta": [], "results": {}, "metadata": 1, "metrics": "x", "usage_info": None, "details": 3},
        {"usage": {"tokens": "x", "prompt_tokens": -1}, "meta": {"billed_units": [1]}, "results": [None, {"a": 1}]},
        {
            "message": [],
            "outputs": [3],
            "completions": [None],
            "tool_calls": [{"a": 1}],
            "model": 7,
            "id": [],
            "error": [],
        },
        {
            "prompt_eval_count": "8 or so",
            "eval_count": 1.5,
            "num_tokens_generated": True,
            "metadata": {"model_info": [1]},
        },
    ],
)
def test_members_of_the_wrong_type_are_no_usage(api: str, members: dict[str, object]) -> None:
    raw = json.dumps(members).encode()
    for headers, body in ((JSON, raw), (EVENTS, b"data: " + raw + b"\n\n"), (LINES, raw + b"\n")):
        answer = read(api, headers, body, [])
        assert answer.usage is None
        assert MISSING in answer.notes
        assert "parser" not in answer.notes[MISSING]
