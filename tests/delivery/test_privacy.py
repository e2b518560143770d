"""What leaves the process, and what the log says, holds no secrets and no prompts."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import openai
import pytest

from payi_middleware import IngestError, Settings, flush, ingest, instrument, result_of, track_context
from payi_middleware.demo.provider import Provider
from tests.delivery.ingest_server import PAYI_KEY, Ingest
from tests.transport.calling import COMPLETION, KEY, MESSAGES, PROMPT, stand_in

URL = "https://llm.example/v1/chat/completions"
WORD = "Norway"


def _call(provider: Provider, **headers: str) -> Any:
    with openai.OpenAI(base_url=provider.openai_url, api_key=KEY, max_retries=0) as client:
        return client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, extra_headers=headers)


def _everything_that_left(ingest: Ingest) -> str:
    assert flush(10)
    assert ingest.received
    texts = [f"{received.query} {received.raw.decode()}" for received in ingest.received]
    texts += [str({**received.headers, "xproxy-api-key": ""}) for received in ingest.received]
    return "\n".join(texts)


def _our_log(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(
        f"{record.getMessage()} {record.exc_text} {record.__dict__}"
        for record in caplog.records
        if record.name.startswith("payi_middleware")
    )


def _assert_clean(text: str) -> None:
    for secret in (KEY, "Bearer", "uthorization", WORD, "Stand-in answer", PAYI_KEY):
        assert secret not in text


def test_neither_reports_nor_log_hold_secrets_or_prompts(
    ingest: Ingest, remote: Settings, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    instrument(remote)
    _call(provider)
    with openai.OpenAI(base_url=provider.openai_url, api_key=KEY) as client:
        list(client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, stream=True))
        list(client.responses.create(model="gpt-4o-mini", input=PROMPT, stream=True))
    for behaviour in ({"status": 401}, {"status": 400}, {"reset_after": 0}):
        with pytest.raises(openai.OpenAIError):
            _call(provider, **stand_in(**behaviour))
    _assert_clean(_everything_that_left(ingest))
    assert len(list(ingest.ledger.requests())) == 6
    ingest.mode = 401
    _call(provider)
    assert flush(10)
    assert "told_to" in _our_log(caplog)
    _assert_clean(_our_log(caplog))


def test_an_error_that_quotes_key_and_prompt_is_not_reported_with_its_text(
    library: Any, ingest: Ingest, remote: Settings
) -> None:
    instrument(remote)
    quoting = {"error": {"message": f"Incorrect API key {KEY} for: {PROMPT}", "code": "invalid_api_key"}}

    def answer(request: Any) -> Any:
        if request.url.host == "llm.example":
            return library.Response(401, json=quoting)
        raise library.LocalProtocolError(f"Illegal header value b'Bearer {KEY}'")

    with library.Client(transport=library.MockTransport(answer)) as client:
        client.post(URL, json={"messages": MESSAGES})
        with pytest.raises(library.LocalProtocolError):
            client.post("https://other.example/v1/chat/completions", json={"messages": MESSAGES})
    text = _everything_that_left(ingest)
    assert "invalid_api_key" in text
    assert "LocalProtocolError" in text
    _assert_clean(text)


def test_a_key_with_a_line_break_stays_in_the_process(
    ingest: Ingest, remote: Settings, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    instrument(remote)
    with (
        openai.OpenAI(base_url=provider.openai_url, api_key=f"{KEY}\n", max_retries=0) as client,
        pytest.raises(openai.APIConnectionError),
    ):
        client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
    _assert_clean(_everything_that_left(ingest))
    _assert_clean(_our_log(caplog))


def test_prompt_and_answer_are_sent_where_the_app_asks_for_it(
    ingest: Ingest, remote: Settings, provider: Provider
) -> None:
    instrument(remote)
    with track_context(log_prompt_and_response=True):
        _call(provider)
    text = _everything_that_left(ingest)
    (received,) = ingest.received
    assert PROMPT in received.body["provider_request_json"]
    assert "Stand-in answer" in received.body["provider_response_json"]
    assert "xproxy-logging-disable" not in received.headers
    assert KEY not in text


def test_prompts_are_not_kept_where_the_app_does_not_ask_for_it(
    ingest: Ingest, remote: Settings, provider: Provider
) -> None:
    instrument(remote)
    _call(provider)
    assert flush(10)
    (received,) = ingest.received
    assert received.headers["xproxy-logging-disable"] == "True"
    assert not {name for name in received.body if name.startswith(("provider_request", "provider_response_json"))}


def test_redact_has_the_last_word(ingest: Ingest, remote: Settings, provider: Provider) -> None:
    def redact(item: dict[str, Any]) -> dict[str, Any]:
        assert item["user_id"] == "alice"
        return {**item, "user_id": "somebody", "properties": {"own": "yes"}}

    instrument(remote.model_copy(update={"redact": redact}))
    with track_context(user_id="alice", request_properties={"secret": "s"}):
        _call(provider)
    assert flush(10)
    (received,) = ingest.received
    assert (received.headers["xproxy-user-id"], received.body["properties"]) == ("somebody", {"own": "yes"})
    assert "alice" not in _everything_that_left(ingest)


def test_nothing_is_sent_when_redact_raises(
    ingest: Ingest, remote: Settings, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    def redact(item: dict[str, Any]) -> dict[str, Any]:
        raise ValueError(f"cannot redact {json.dumps(item)}")

    meter = instrument(remote.model_copy(update={"redact": redact, "log_prompt_and_response": True}))
    answer = _call(provider)
    with pytest.raises(IngestError, match="given up"):
        result_of(answer, timeout=10)
    assert flush(10)
    assert ingest.received == []
    assert (meter.stats()["dropped"], meter.stats()["last_error"]) == (1, "ValueError")
    assert "ValueError" in caplog.text
    _assert_clean(_our_log(caplog))


def test_redact_that_raises_stops_a_report_by_hand_too(ingest: Ingest, remote: Settings) -> None:
    def redact(item: dict[str, Any]) -> dict[str, Any]:
        raise ValueError

    instrument(remote.model_copy(update={"redact": redact}))
    with pytest.raises(ValueError, match=r"^$"):
        _report_by_hand("alice")
    assert ingest.received == []


def _report_by_hand(user_id: str) -> None:
    ingest(category="system.openai", resource="gpt-4o-mini", units={"text": {"input": 1, "output": 1}}, user_id=user_id)


def test_user_ids_leave_only_as_their_hmac(
    ingest: Ingest, remote: Settings, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    instrument(Settings(base_url=ingest.url, api_key=PAYI_KEY, user_id_hmac_key="pepper"))
    for user_id in ("alice", "josé", "alice"):
        with track_context(user_id=user_id):
            _call(provider)
    _report_by_hand("alice")
    text = _everything_that_left(ingest)
    digests = {hmac.new(b"pepper", user.encode(), hashlib.sha256).hexdigest() for user in ("alice", "josé")}
    assert {request.user_id for request in ingest.ledger.requests()} == digests
    assert not any(word in text for word in ("alice", "jos", "pepper"))


def test_a_query_in_a_providers_url_is_not_reported(
    library: Any, ledger_path: Path, ingest: Ingest, remote: Settings
) -> None:
    instrument(remote)
    with library.Client(transport=library.MockTransport(lambda _: library.Response(200, json=COMPLETION))) as client:
        client.post(f"https://me:{KEY}@llm.example/v1/chat/completions?api-key={KEY}", json={"messages": MESSAGES})
    _assert_clean(_everything_that_left(ingest))
    assert ingest.received[0].body["provider_uri"] == URL
