"""`xProxy-*` headers on a provider call annotate that call, and stay between the app and us."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anthropic
import groq
import openai
import pytest

from payi_middleware import Settings, instrument, track_context
from payi_middleware.demo.provider import Provider
from tests.transport.calling import CHAT, KEY, MESSAGE, MESSAGES, only_report

CONTEXT: dict[str, Any] = {
    "user_id": "context-user",
    "account_name": "context-account",
    "use_case_name": "context-case",
    "use_case_id": "context-id",
    "use_case_version": 1,
    "use_case_step": "context-step",
    "use_case_properties": {"kept": "context"},
    "limit_ids": ["context-limit"],
    "request_tags": ["context-tag"],
    "request_properties": {"kept": "context", "both": "context"},
}


@pytest.fixture(autouse=True)
def _instrumented(settings: Settings) -> None:
    instrument(settings)


def _openai(provider: Provider, headers: dict[str, str]) -> None:
    with openai.OpenAI(base_url=provider.openai_url, api_key=KEY, max_retries=0) as client:
        client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, extra_headers=headers)


def _anthropic(provider: Provider, headers: dict[str, str]) -> None:
    with anthropic.Anthropic(base_url=provider.anthropic_url, api_key=KEY, max_retries=0) as client:
        client.messages.create(**MESSAGE, extra_headers=headers)


def _groq(provider: Provider, headers: dict[str, str]) -> None:
    with groq.Groq(base_url=provider.groq_url, api_key=KEY, max_retries=0) as client:
        client.chat.completions.create(
            model="llama-3.1-8b-instant", messages=[{"role": "user", "content": "hello"}], extra_headers=headers
        )


def _sent(provider: Provider) -> set[str]:
    return {name for request in provider.requests for name in request.headers if "xproxy" in name or "payi" in name}


@pytest.mark.parametrize("call", [_openai, _anthropic, _groq])
def test_headers_of_every_sdk_annotate_the_call_and_never_reach_the_provider(
    provider: Provider, ledger_path: Path, call: Callable[[Provider, dict[str, str]], None]
) -> None:
    call(
        provider,
        {
            "xProxy-User-ID": "alice",
            "xProxy-Account-Name": "acme",
            "xProxy-UseCase-Name": "support",
            "xProxy-UseCase-ID": "case-1",
            "xProxy-UseCase-Version": "3",
            "xProxy-UseCase-Step": "answer",
            "xProxy-Request-Tags": "blue, green",
            "xProxy-Request-Properties": '{"topic": "geo"}',
            "xProxy-UseCase-Properties": base64.b64encode(b'{"plan": "gold"}').decode(),
            "xProxy-Resource-Scope": "global",
        },
    )
    report = only_report(ledger_path)
    assert (report.user_id, report.account_name) == ("alice", "acme")
    assert (report.use_case_name, report.use_case_id, report.use_case_version) == ("support", "case-1", 3)
    assert (report.use_case_step, report.request_tags, report.scope) == ("answer", ["blue", "green"], "global")
    assert report.properties["topic"] == "geo"
    assert report.use_case_properties == {"plan": "gold"}
    assert _sent(provider) == set()


def _report_with(provider: Provider, ledger_path: Path, headers: dict[str, str], **context: Any) -> Any:
    with track_context(**{**CONTEXT, "limit_ids": [], **context}):
        _openai(provider, headers)
    assert _sent(provider) == set()
    return only_report(ledger_path)


def test_a_header_that_is_present_wins_over_the_context(provider: Provider, ledger_path: Path) -> None:
    report = _report_with(provider, ledger_path, {"xProxy-User-ID": "alice", "xproxy-usecase-step": "own"})
    assert (report.user_id, report.account_name) == ("alice", "context-account")
    assert (report.use_case_name, report.use_case_id, report.use_case_step) == ("context-case", "context-id", "own")


def test_a_header_that_is_present_and_empty_removes_the_contexts_value(provider: Provider, ledger_path: Path) -> None:
    empty = {"xProxy-User-ID": "", "xProxy-Account-Name": "", "xProxy-Request-Tags": "", "xProxy-UseCase-Step": ""}
    report = _report_with(provider, ledger_path, empty)
    assert (report.user_id, report.account_name, report.request_tags, report.use_case_step) == (None, None, [], None)
    assert report.use_case_name == "context-case"


def test_an_empty_use_case_name_removes_the_use_case(provider: Provider, ledger_path: Path) -> None:
    report = _report_with(provider, ledger_path, {"xProxy-UseCase-Name": ""})
    assert (report.use_case_name, report.use_case_version, report.use_case_step) == (None, None, None)


def test_a_use_case_name_suppresses_the_contexts_id_version_and_step(provider: Provider, ledger_path: Path) -> None:
    report = _report_with(provider, ledger_path, {"xProxy-UseCase-Name": "own"})
    assert (report.use_case_name, report.use_case_version, report.use_case_step) == ("own", None, None)
    assert report.use_case_id != "context-id"


def test_a_use_case_id_without_a_name_loses_to_the_contexts(provider: Provider, ledger_path: Path) -> None:
    report = _report_with(provider, ledger_path, {"xProxy-UseCase-ID": "own"})
    assert (report.use_case_name, report.use_case_id) == ("context-case", "context-id")


def test_limit_ids_replace_those_of_the_context(provider: Provider, ledger_path: Path) -> None:
    from payi_middleware.service.ledger import Ledger

    with Ledger(ledger_path) as ledger:
        for limit_id in ("context-limit", "own-limit"):
            ledger.create_limit(limit_name=limit_id, limit_id=limit_id, max=1)
    report = _report_with(provider, ledger_path, {"xProxy-Limit-IDs": "own-limit"}, limit_ids=CONTEXT["limit_ids"])
    assert report.limits == {"own-limit": "ok"}


def test_properties_are_merged_and_the_calls_own_win(provider: Provider, ledger_path: Path) -> None:
    report = _report_with(provider, ledger_path, {"xProxy-Request-Properties": '{"both": "own", "mine": "1"}'})
    own = {name: report.properties[name] for name in ("kept", "both", "mine")}
    assert own == {"kept": "context", "both": "own", "mine": "1"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("xProxy-UseCase-Version", "three-secret"),
        ("xProxy-UseCase-Version", "-1"),
        ("xProxy-UseCase-Version", "9" * 5000),
        ("xProxy-Request-Properties", '{"secret": '),
        ("xProxy-Request-Properties", "[1, 2]"),
        ("xProxy-UseCase-Properties", "no base64 secret"),
    ],
)
def test_a_wrong_value_is_ignored_with_a_warning_that_names_the_header_only(
    provider: Provider, ledger_path: Path, caplog: pytest.LogCaptureFixture, name: str, value: str
) -> None:
    report = _report_with(provider, ledger_path, {name: value, "xProxy-User-ID": "alice"})
    assert (report.user_id, report.use_case_version) == ("alice", 1)
    assert (report.properties["kept"], report.use_case_properties) == ("context", {"kept": "context"})
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("payi_middleware")]
    assert [name in line for line in lines] == [True]
    assert value not in lines[0]


def test_the_apps_own_request_keeps_its_headers(library: Any, provider: Provider) -> None:
    with library.Client() as client:
        request = client.build_request(
            "POST",
            f"{provider.openai_url}/chat/completions",
            json=CHAT,
            headers=[("xProxy-User-ID", "alice"), ("XPROXY-Request-Tags", "a"), ("xproxy-request-tags", "b")],
        )
        before = request.headers.raw
        response = client.send(request)
    assert response.request is request
    assert request.headers.raw == before
    assert _sent(provider) == set()


def test_the_apps_own_request_keeps_its_headers_when_the_call_fails(library: Any) -> None:
    def fail(request: Any) -> Any:
        assert "xproxy-user-id" not in request.headers
        raise library.ConnectError("refused")

    with library.Client(transport=library.MockTransport(fail)) as client:
        request = client.build_request(
            "POST", "https://llm.example/v1/chat/completions", json=CHAT, headers={"xProxy-User-ID": "alice"}
        )
        with pytest.raises(library.ConnectError):
            client.send(request)
    assert request.headers["xproxy-user-id"] == "alice"


def test_headers_hold_for_each_attempt_and_for_the_hop_after_a_redirect(library: Any, ledger_path: Path) -> None:
    seen = []

    def answer(request: Any) -> Any:
        seen.append("xproxy-user-id" in request.headers)
        if request.url.host == "llm.example":
            return library.Response(308, headers={"location": "https://eu.llm.example/v1/chat/completions"})
        return library.Response(200, json={"id": "chatcmpl-1", "usage": {"prompt_tokens": 1, "completion_tokens": 1}})

    with library.Client(transport=library.MockTransport(answer), follow_redirects=True) as client:
        url = "https://llm.example/v1/chat/completions"
        client.post(url, content=json.dumps(CHAT), headers={"xProxy-User-ID": "alice"})
    assert seen == [False, False]
    assert only_report(ledger_path).user_id == "alice"
