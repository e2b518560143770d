"""Whichever way a host cuts its stream into chunks, the answer is the same; of each kind of stream that is measured."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

import pytest
from benchmarks.answers import FAMILIES
from benchmarks.making import Answers

from payi_middleware.providers import Answer, Match, Reader, open_reader
from tests.providers.aws_frames import EVENT_STREAM, chunk
from tests.providers.wires import EVENTS, as_events

WHOLE = {name: answers for name, answers in FAMILIES.items() if not name.endswith("cut anywhere")}

ENDLESS = {"Gemini", "Gemini, as one array", "Gemini, as one array of 600 KB", "SageMaker"}  # they have no last event


def opened(answers: Answers) -> Reader:
    return open_reader(Match(answers.api, "category", "provider"), 200, answers.stream_headers)


def told(answers: Answers, chunks: Iterable[bytes]) -> tuple[Answer, bool, bool]:
    """Return what a stream says, and which of its first tokens were seen."""
    reader = opened(answers)
    for each in chunks:
        reader.feed(each)
    return reader.finish(), reader.first_token, reader.first_completion


def cut(data: bytes, sizes: tuple[int, ...]) -> Iterator[bytes]:
    at, dice = 0, random.Random(20261122)
    while at < len(data):
        size = dice.choice(sizes)
        yield data[at : at + size]
        at += size


@pytest.mark.parametrize("ended", [True, False], ids=["ended", "broken off"])
@pytest.mark.parametrize("name", WHOLE)
def test_a_stream_says_the_same_however_it_is_cut(name: str, ended: bool) -> None:
    answers = WHOLE[name]
    chunks = [answers.opening, *answers.deltas[:60], *([answers.ending] if ended else [])]
    expected = told(answers, chunks)
    assert expected[2]
    for sizes in ((1,), (3, 50, 400), (100, 250), (2_000, 9_000)):
        assert told(answers, cut(b"".join(chunks), sizes)) == expected
    assert told(answers, [b"".join(chunks)]) == expected


@pytest.mark.parametrize("name", WHOLE)
def test_the_end_is_told_once_in_the_chunk_that_it_comes_in(name: str) -> None:
    answers = WHOLE[name]
    reader = opened(answers)
    ends = [reader.feed(each) for each in (answers.opening, *answers.deltas)]
    assert not any(ends)
    assert reader.feed(answers.ending) is (name not in ENDLESS)
    assert not reader.feed(answers.ending)


def watsonx(text: str, answered: int, asked: int = 0, stop: str = "not_finished") -> dict[str, object]:
    counts = {"input_token_count": asked, "generated_token_count": answered}
    return {"model_id": "granite", "results": [{"generated_text": text, "stop_reason": stop, **counts}]}


def test_an_end_or_an_error_in_one_chunk_with_words_is_seen() -> None:
    error = {"errors": [{"code": "downstream_request_failed", "message": "no capacity"}]}
    for last, finish, code in (
        (watsonx("", 4, stop="eos_token"), "eos_token", None),
        (error, "not_finished", "downstream_request_failed"),
    ):
        reader = open_reader(Match("watsonx.generate", "watsonx", "watsonx"), 200, EVENTS)
        assert not reader.feed(as_events(watsonx("", 0, asked=8)))
        assert not reader.feed(as_events(watsonx("a", 1)))
        assert reader.feed(as_events(watsonx("b", 2), last))
        answer = reader.finish()
        assert (answer.finish_reason, answer.error_code) == (finish, code)


def test_a_first_text_that_is_empty_is_no_token() -> None:
    reader = open_reader(Match("bedrock.invoke_stream", "bedrock", "bedrock"), 200, EVENT_STREAM)
    for text in ("", "", "Oslo"):
        assert not reader.first_token
        reader.feed(chunk({"contentBlockDelta": {"delta": {"text": text}, "contentBlockIndex": 0}}))
    assert reader.first_completion
