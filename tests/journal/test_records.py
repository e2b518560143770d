"""Records: what is reported of them is what would have been reported at once, and they hold no more than that takes."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from payi_middleware import Settings, instrument
from payi_middleware.annotations import Annotations
from payi_middleware.delivery.records import answer_in, read_record, record_of
from payi_middleware.demo.provider import Provider
from payi_middleware.providers import Match, model_named, read_request
from payi_middleware.providers.registry import FORMATS
from payi_middleware.recorder import Exchange
from payi_middleware.report import user_hash
from tests.journal.exchanges import EVENTS, JSON, check_same, holds, recorded, reports, texts
from tests.providers.golden import GOLDEN, Golden
from tests.providers.test_recordings import RECORDINGS, body_of, lowered, matched, recordings
from tests.providers.wires import as_events
from tests.transport.calling import CHAT as CHAT_CALL
from tests.transport.calling import KEY, MESSAGE, PROMPT, STREAMED, stand_in
from tests.transport.serving import unused_port
from tests.waiting import until

CHAT = Match("openai.chat", "system.openai", "openai")
MESSAGES = Match("anthropic.messages", "system.anthropic", "anthropic")
RESPONSES = Match("openai.responses", "system.openai", "openai")
SECRET = "The secret of this prompt is blue"
ANSWERED = "The answer to it is green"
USER = "ann@example.com"
ASKED = json.dumps({"messages": [{"role": "user", "content": SECRET}], "model": "gpt-5", "user": USER}).encode()
USAGE = {"prompt_tokens": 12, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 4}}
CALL = {"index": 0, "type": "function", "function": {"name": "find", "arguments": '{"what":"the keys of Ann"}'}}
COMPLETION = json.dumps(
    {
        "id": "chatcmpl-1",
        "model": "gpt-5-2026",
        "choices": [{"message": {"content": ANSWERED, "tool_calls": [CALL]}}],
        "usage": USAGE,
    }
).encode()
CHUNKS = as_events(
    {"id": "chatcmpl-1", "model": "gpt-5-2026", "choices": [{"index": 0, "delta": {"content": ANSWERED}}]},
    {"id": "chatcmpl-1", "choices": [{"index": 0, "delta": {"tool_calls": [CALL]}}]},
    {"id": "chatcmpl-1", "choices": [], "usage": USAGE},
    "[DONE]",
)
ERROR = json.dumps({"error": {"code": "bad", "message": f"{SECRET} with sk-secret", "type": "invalid"}}).encode()


def exchange_of(match: Match, asked: bytes, answered: bytes, **how: Any) -> Exchange:
    exchange = recorded(match, asked, answered, **how)
    assert exchange is not None
    return exchange


def of_golden(golden: Golden, **how: Any) -> Exchange:
    return exchange_of(golden.match, golden.asked, golden.on_the_wire(golden.body), headers=golden.headers, **how)


# --- the same report ------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not RECORDINGS.is_file(), reason="no recordings here (PAYI_WIRE)")
@pytest.mark.parametrize("squeeze", [False, True], ids=["plain", "gzip"])
def test_the_record_of_a_real_exchange_tells_what_the_exchange_tells(squeeze: bool) -> None:
    """No request's sentence is in it, unless the answer says it, too, and the user's id is nowhere."""
    dice = random.Random(20261122)
    seen: Counter[str] = Counter()
    hash_user = user_hash("key")
    told: list[str] = []
    for recording in recordings():
        match = matched(recording)
        if match is None:
            continue
        asked, answered = body_of(recording["request"]), body_of(recording["response"])
        exchange = recorded(
            match,
            asked,
            answered,
            status=recording["response"]["status"],
            headers=lowered(recording["response"]),
            squeeze=squeeze,
            annotations=Annotations(user_id="the user's own id", use_case_name="chat"),
            dice=dice,
        )
        if exchange is None:
            continue
        record, direct, read = reports(exchange, hash_user)
        check_same(direct, read)
        assert b"the user's own id" not in record
        told += [text for text in texts(asked) if holds(record, text) and not holds(answered, text)]
        seen[match.api] += 1
    assert told == []
    assert seen.total() > 900
    assert len(seen) > 30


@pytest.mark.parametrize("squeeze", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: golden.name)
def test_the_record_of_every_api_tells_what_the_exchange_tells(golden: Golden, squeeze: bool) -> None:
    for status in (200, 429):
        _, direct, read = reports(of_golden(golden, status=status, squeeze=squeeze))
        check_same(direct, read)


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: golden.name)
def test_the_record_of_half_an_answer_tells_what_that_tells(golden: Golden) -> None:
    """The app stopped reading, or the connection broke."""
    body = golden.on_the_wire(golden.body)
    for part in (0, 1, len(body) // 3, len(body) - 1):
        exchange = exchange_of(golden.match, golden.asked, body[:part], headers=golden.headers, complete=False)
        _, direct, read = reports(exchange)
        check_same(direct, read)


def test_every_api_is_among_these() -> None:
    assert {golden.api for golden in GOLDEN} >= FORMATS.keys() - {
        # the same readers with another address
        "openai.responses.retrieve",
        "openai.assistants.run.retrieve",
    }


def test_the_record_of_a_call_without_a_response_tells_so() -> None:
    exchange = exchange_of(CHAT, ASKED, b"", complete=False)
    exchange.let_go()
    exchange.status = None
    exchange.failure = "ReadTimeout"

    record, direct, read = reports(exchange)

    check_same(direct, read)
    assert read.item["http_status_code"] == 299
    assert read.item["properties"]["system.failure"] == "ReadTimeout"
    assert SECRET.encode() not in record


@pytest.mark.parametrize("length", [200_000, 3 << 20, 6 << 20])
def test_the_record_of_a_long_answer_tells_what_that_tells(length: int) -> None:
    """Only its beginning and its end are kept of what is longer than 4 MiB."""
    embedding = json.dumps({"model": "m", "data": ["x" * length], "usage": {"prompt_tokens": 4}}).encode()
    for squeeze in (False, True):
        exchange = exchange_of(
            Match("openai.embeddings", "system.openai", "openai"),
            ASKED,
            embedding,
            squeeze=squeeze,
            dice=random.Random(length),
        )

        record, direct, read = reports(exchange)

        check_same(direct, read)
        assert read.item["units"] == {"text": {"input": 4}}
        assert len(record) < 4.1 * (1 << 20)


def test_everything_that_annotations_tell_is_in_the_report_of_the_record() -> None:
    annotations = Annotations(
        user_id="Ann",
        account_name="Ann's \ud83d & \xe5",
        session_id="s-1",
        use_case_name="chat",
        use_case_id="c-1",
        use_case_version=3,
        use_case_step="first",
        use_case_properties={"a": "b", "none": None},
        limit_ids=("l1", "l2"),
        request_tags=("t1",),
        request_properties={"c": "d\n", "none": None},
        price_as_category="system.azure",
        price_as_resource="gpt-4o",
        resource_scope="region",
        report="inline",
    )
    for match in (CHAT, replace(CHAT, publisher="google", model_from_path="p/m", notes=(("a", "b"), ("c", "d")))):
        exchange = exchange_of(match, ASKED, COMPLETION, annotations=annotations)

        record, direct, read = reports(exchange)

        check_same(direct, read)
        assert read_record(record)[1] == annotations
        assert read_record(record)[0].match == match


def test_times_are_told_to_the_microsecond() -> None:
    exchange = exchange_of(CHAT, ASKED, CHUNKS, headers=EVENTS, dice=random.Random(1))
    for microsecond in (0, 1, 499_999, 999_999):
        exchange.begun = datetime(2026, 11, 22, 23, 59, 59, microsecond, tzinfo=UTC).timestamp()
        observed, _, own_id = read_record(record_of(exchange, None))

        assert observed.timing == exchange.timing
        assert own_id == "payi_1"


# --- nothing more ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("match", "answered", "headers"),
    [
        (CHAT, COMPLETION, JSON),
        (CHAT, CHUNKS, EVENTS),
        (RESPONSES, json.dumps({"id": "r", "model": "m", "instructions": SECRET, "user": USER}).encode(), JSON),
        (RESPONSES, as_events({"type": "response.created", "response": {"instructions": SECRET}}), EVENTS),
    ],
    ids=["plain", "streamed", "repeating", "repeating stream"],
)
@pytest.mark.parametrize("squeeze", [False, True], ids=["plain", "gzip"])
def test_the_prompt_is_nowhere_in_a_record(match: Match, answered: bytes, headers: Any, squeeze: bool) -> None:
    record, direct, _ = reports(exchange_of(match, ASKED, answered, headers=headers, squeeze=squeeze))

    assert not holds(record, SECRET)
    assert USER.encode() not in record
    assert "provider_request_json" not in direct.item


def test_the_texts_of_a_stream_are_nowhere_in_its_record() -> None:
    record, _, read = reports(exchange_of(CHAT, ASKED, CHUNKS, headers=EVENTS))

    assert ANSWERED.encode() not in record
    assert b"keys of Ann" not in record
    assert read.item["provider_response_function_calls"] == [{"name": "find"}]


@pytest.mark.parametrize("squeeze", [False, True], ids=["plain", "gzip"])
def test_the_text_of_an_error_is_nowhere_in_its_record(squeeze: bool) -> None:
    """Providers quote prompts and keys in their errors."""
    for headers, body in ((JSON, ERROR), (EVENTS, as_events(json.loads(ERROR)))):
        record, direct, read = reports(
            exchange_of(CHAT, ASKED, body, status=400, headers=headers, squeeze=squeeze and headers is JSON)
        )

        assert not holds(record, SECRET)
        assert b"sk-secret" not in record
        assert read.item["properties"] == direct.item["properties"]
        assert read.item["properties"]["system.failure"] == "bad"


@pytest.mark.parametrize("headers", [JSON, EVENTS], ids=["plain", "streamed"])
@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("squeeze", [False, True], ids=["plain", "gzip"])
def test_prompt_and_answer_are_in_a_record_where_the_app_asked_for_them(
    headers: Any, status: int, squeeze: bool
) -> None:
    answered = {200: CHUNKS if headers is EVENTS else COMPLETION, 400: ERROR}[status]
    exchange = exchange_of(
        CHAT,
        ASKED,
        answered,
        status=status,
        headers=headers,
        squeeze=squeeze,
        annotations=Annotations(log_prompt_and_response=True),
    )

    _, direct, read = reports(exchange)

    check_same(direct, read)
    assert read.log_content
    assert read.item["provider_request_json"] == ASKED.decode()
    assert (ANSWERED if status == 200 else "sk-secret") in str(read.item["provider_response_json"])
    if status == 200:
        assert "keys of Ann" in str(read.item["provider_response_function_calls"])
    else:
        assert SECRET in read.item["properties"]["system.failure.description"]


@pytest.mark.parametrize("answered", [COMPLETION, CHUNKS], ids=["plain", "streamed"])
def test_a_user_is_hashed_before_anything_is_written(answered: bytes) -> None:
    hash_user = user_hash("of the hash")
    exchange = exchange_of(
        CHAT,
        ASKED,
        answered,
        headers=JSON if answered is COMPLETION else EVENTS,
        annotations=Annotations(user_id="Ann Åsen", account_name="north"),
    )

    record, direct, read = reports(exchange, hash_user)

    assert not holds(record, "Ann Åsen")
    assert b"of the hash" not in record
    assert read.item["user_id"] == direct.item["user_id"] == hash_user("Ann Åsen")
    assert b"north" in record


def test_no_file_of_a_journal_holds_a_prompt_an_answer_or_a_key(provider: Provider, tmp_path: Path) -> None:
    """The service is away, so that all there is to deliver stays in the spool, and then in the backlog.

    The stand-in's plain answers quote the prompt, so these calls are others.
    """
    journal = tmp_path / "journal"
    hashed = {"user_id_hmac_key": "of the hash", "user_id": USER}
    with unused_port() as port:
        away = {"base_url": f"http://127.0.0.1:{port}", "api_key": "pk-of-the-app", "journal": journal}
        meter = instrument(Settings(**away, **hashed, header_wait=0.0, shutdown_timeout=0.0))
        with openai.OpenAI(base_url=provider.openai_url, api_key=KEY, max_retries=0) as client:
            list(client.chat.completions.create(**STREAMED))
            client.responses.create(model="gpt-4o-mini", input=PROMPT, instructions=PROMPT, user=USER)
            with pytest.raises(openai.OpenAIError):
                client.chat.completions.create(**CHAT_CALL, extra_headers=stand_in(status=401))
        with anthropic.Anthropic(base_url=provider.anthropic_url, api_key=KEY, max_retries=0) as claude:
            list(claude.messages.create(**MESSAGE, stream=True))
        records = check_clean(journal)
        until(lambda: meter.stats()["retried"])  # what is under way when the process ends stays in the spool
        meter.close()
        until(lambda: any(journal.rglob("*.db")))
        rows = check_clean(journal)

    assert sorted(path.suffix for path in records if path.suffix == ".spool") == [".spool"]
    assert any(path.suffix == ".db" for path in rows)


def check_clean(journal: Path) -> list[Path]:
    """Check that nothing secret is in any file of a journal, and return these files."""
    files = [path for path in journal.rglob("*") if path.is_file()]
    everything = b"".join(path.read_bytes() for path in files)
    assert b"openai" in everything
    for secret in (PROMPT, "Stand-in answer", KEY, "pk-of-the-app", "of the hash", USER):
        assert not holds(everything, secret)
    return files


# --- the model, which is looked for in the request -------------------------------------------------------------------

TOOL_INPUT = {"role": "assistant", "content": [{"type": "tool_use", "input": {"model": "T", "agent": SECRET}}]}
FORM = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n--b--\r\n'
DEPLOYED = replace(CHAT, model_from_path="deployed")
PUBLISHED = Match("gemini.interactions", "system.google", "google", publisher="google")


@pytest.mark.parametrize(
    ("match", "asked"),
    [
        (CHAT, {"model": "gpt-5", "messages": [{"role": "user", "content": '"model":"other"'}]}),
        (CHAT, {"messages": [{"role": "user", "content": 'say {"model": "other"}'}], "model": "gpt-5"}),
        (MESSAGES, {"max_tokens": 5, "messages": [TOOL_INPUT], "model": "claude-5"}),
        (MESSAGES, {"model": "claude-5", "max_tokens": 5, "messages": [TOOL_INPUT]}),
        (CHAT, {"metadata": {"model": "other", "version": "2"}, "model": "gpt-5"}),
        (CHAT, {"tools": [{"version": "3"}], "model": "gpt-5"}),
        (RESPONSES, {"prompt": {"id": "pmpt_1", "version": "2"}, "input": SECRET}),
        (CHAT, {"messages": [], "model": 'a "quoted" \\ one'}),
        (CHAT, {"messages": [], "model": "\xe5 \u65e5"}),
        (CHAT, {"messages": [], "model": ""}),
        (CHAT, {"messages": [], "model": "m" * 300}),
        (CHAT, {"messages": [], "model": None}),
        (CHAT, {"messages": []}),
        (DEPLOYED, {"messages": [TOOL_INPUT]}),
        (DEPLOYED, {"messages": [{"role": "assistant", "content": [{"type": "tool_use", "input": {"model": "T"}}]}]}),
        (DEPLOYED, {"messages": [], "model": "gpt-5"}),
        (DEPLOYED, {"messages": []}),
        (PUBLISHED, {"agent": "deep-research", "input": SECRET}),
        (PUBLISHED, {"input": SECRET, "model": "gemini-3"}),
        (replace(PUBLISHED, model_from_path="gemini-3"), {"model": "other"}),
        (Match("bedrock.invoke", "system.aws", "bedrock", model_from_path="m-1"), {"model": "other"}),
        (Match("watsonx.chat", "system.ibm", "watsonx"), {"model_id": "granite", "messages": []}),
        (Match("replicate.predictions", "replicate", "replicate"), {"version": "v-1", "input": {"model": "x"}}),
    ],
)
def test_the_model_of_a_record_is_the_one_that_the_request_names(match: Match, asked: Any) -> None:
    for body in (json.dumps(asked), json.dumps(asked, separators=(",", ":"), ensure_ascii=False)):
        exchange = exchange_of(match, body.encode(), COMPLETION)
        record = record_of(exchange, None)

        assert read_record(record)[0].asked.model == read_request(match, body.encode()).model
        assert not holds(record, SECRET)


@pytest.mark.parametrize("asked", [None, b"", b"\xff\x00", b'{"model": "cut', FORM, b"[]"])
def test_whatever_a_request_is_its_model_is_the_same(asked: bytes | None) -> None:
    assert model_named(CHAT, asked) == read_request(CHAT, asked).model


def test_the_guardrail_that_a_request_asks_for_is_in_the_report_of_its_record() -> None:
    config = {"guardrailIdentifier": "g-1", "guardrailVersion": "DRAFT"}
    asked = json.dumps({"messages": [{"content": SECRET}], "guardrailConfig": config}).encode()
    match = Match("bedrock.converse", "system.aws", "bedrock", model_from_path="m-1", notes=(("a", "b"),))

    record, direct, read = reports(exchange_of(match, asked, b'{"usage":{"inputTokens":1,"outputTokens":2}}'))

    check_same(direct, read)
    assert "g-1" in read.item["properties"].values()
    assert read.item["properties"]["a"] == "b"
    assert not holds(record, SECRET)


# --- other versions -------------------------------------------------------------------------------------------------


OTHERS = [b"", b"{}", b"null", b"\xff\xfe", b'[1,"of an older version"]', b"\x03of a newer version".ljust(100)]


@pytest.mark.parametrize("record", OTHERS)
def test_what_another_version_has_written_is_an_error(record: bytes) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        read_record(record)


def test_whatever_an_answer_begins_with_it_is_the_end_of_the_record() -> None:
    answer = b"\n" + COMPLETION
    exchange = exchange_of(CHAT, ASKED, answer, annotations=Annotations(use_case_step="a\nb"))

    record, direct, read = reports(exchange)

    check_same(direct, read)
    assert record.endswith(answer)
    assert read.item["use_case_step"] == "a\nb"


@pytest.mark.parametrize("length", [0, 1, 57, 90])
def test_a_record_that_breaks_off_is_an_error(length: int) -> None:
    record, _, _ = reports(exchange_of(CHAT, ASKED, COMPLETION))

    with pytest.raises((ValueError, KeyError, TypeError)):
        read_record(record[:length])


def test_a_call_that_is_put_on_record_anew_when_its_prompt_was_let_go_of_has_the_same_record() -> None:
    exchange = recorded(Match("openai.chat", "system.openai", "openai"), b'{"model":"gpt-5"}', b'{"id":"chatcmpl-1"}')
    assert exchange is not None
    exchange.fallback_id = "payi_1"
    first = record_of(exchange, None)
    exchange.wait_lightly(on_record=False)
    assert exchange.request is None
    assert record_of(exchange, None) == first
    assert read_record(first)[0].asked.model == "gpt-5"


def test_an_answer_that_is_left_to_its_record_is_the_same() -> None:
    left = 0
    for exchange in map(of_golden, GOLDEN):
        record, reader, exchange.ticket = record_of(exchange, None), exchange.reader, 1
        exchange.wait_lightly(on_record=True)

        assert (exchange.reader, exchange.request) == (None, None)
        if exchange.is_left_to_record:  # what cannot be read again was read at once
            assert reader is not None
            assert answer_in(record, exchange.match, "payi_1") == reader.finish()
            with pytest.raises(LookupError):
                answer_in(record, exchange.match, "payi_2")
            left += 1
    assert left > 20
