"""What is reported about one provider call."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from payi_middleware import Annotations, ConfigurationError
from payi_middleware.annotations import NOTHING
from payi_middleware.providers import Answer, Asked, FunctionCall, Match, Usage
from payi_middleware.report import Content, Observed, Report, Timing, build_report, context_fields, user_hash

BEGAN = datetime(2026, 3, 1, 12, 30, 15, 250_000, tzinfo=UTC)
CALL = Observed(
    match=Match("openai.chat", "system.openai", "openai"),
    asked=Asked("gpt-5"),
    answer=Answer(Usage(input_tokens=10, output_tokens=4, cache_read=3), "chatcmpl-1", "gpt-5"),
    status=200,
    timing=Timing(BEGAN, 120, 40, 60),
    provider_uri="https://api.openai.com/v1/chat/completions",
    module="openai/3.54.0",
)
WHO = Annotations(
    user_id="alice",
    account_name="acme",
    session_id="s1",
    use_case_name="chat",
    use_case_id="c1",
    use_case_version=0,
    use_case_step="plan",
    use_case_properties={"tier": "gold"},
    limit_ids=("l1", "l2"),
    request_tags=("t1",),
    request_properties={"plan": "pro", "gone": None},
    resource_scope="datazone.eu",
)


def item(call: Observed = CALL, who: Annotations = NOTHING, **options: Any) -> dict[str, Any]:
    return dict(build_report(call, who, **options).item)


def properties(call: Observed, who: Annotations = NOTHING) -> dict[str, str | None]:
    found: dict[str, str | None] = item(call, who).get("properties", {})
    return found


# --- the shape -------------------------------------------------------------------------------------------------------


def test_a_call_is_reported_as_an_item_of_the_bulk_ingest() -> None:
    assert item(who=WHO) == {
        "category": "system.openai",
        "resource": "gpt-5",
        "units": {"text": {"input": 7, "output": 4}, "text_cache_read": {"input": 3}},
        "event_timestamp": "2026-03-01T12:30:15.250000Z",
        "end_to_end_latency_ms": 120,
        "time_to_first_token_ms": 40,
        "time_to_first_completion_token_ms": 60,
        "http_status_code": 200,
        "provider_uri": "https://api.openai.com/v1/chat/completions",
        "provider_response_id": "chatcmpl-1",
        "properties": {"plan": "pro", "gone": None, "session_id": "s1"},
        "use_case_properties": {"tier": "gold"},
        "user_id": "alice",
        "account_name": "acme",
        "use_case_name": "chat",
        "use_case_id": "c1",
        "use_case_version": 0,
        "use_case_step": "plan",
        "scope": "datazone.eu",
        "limit_ids": ["l1", "l2"],
        "request_tags": ["t1"],
    }


def test_what_is_not_known_is_left_out_but_units_which_pay_i_requires() -> None:
    bare = replace(CALL, answer=Answer(response_id="r"), timing=Timing(BEGAN), provider_uri=None)

    assert item(bare) == {
        "category": "system.openai",
        "resource": "gpt-5",
        "units": {},
        "event_timestamp": "2026-03-01T12:30:15.250000Z",
        "http_status_code": 200,
        "provider_response_id": "r",
    }


def test_zero_milliseconds_are_a_time() -> None:
    quick = item(replace(CALL, timing=Timing(BEGAN, 0, 0, 0)))

    assert (quick["end_to_end_latency_ms"], quick["time_to_first_token_ms"]) == (0, 0)
    assert quick["time_to_first_completion_token_ms"] == 0


def test_the_time_is_reported_in_utc() -> None:
    there = BEGAN.astimezone(timezone(timedelta(hours=-5)))

    assert item(replace(CALL, timing=Timing(there)))["event_timestamp"] == "2026-03-01T12:30:15.250000Z"


def test_a_report_knows_its_idempotency_key_and_module() -> None:
    report = build_report(CALL, WHO)

    assert (report.category, report.provider_response_id) == ("system.openai", "chatcmpl-1")
    assert (report.module, report.log_content) == ("openai/3.54.0", False)


def test_a_call_without_a_response_id_gets_one_of_its_own() -> None:
    nameless = replace(CALL, answer=Answer())
    one, other = (build_report(nameless, NOTHING).provider_response_id for _ in range(2))

    assert one.startswith("payi_")
    assert one != other


def test_context_fields_leave_out_what_is_empty_and_keep_version_zero() -> None:
    assert context_fields(Annotations(user_id="", limit_ids=(), use_case_version=0)) == {"use_case_version": 0}


# --- resource and category -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resource_from", "asked", "from_path", "answered", "resource"),
    [
        ("request", "gpt-5", None, "gpt-5-2025-08-07", "gpt-5"),
        ("request", None, "my-deployment", "gpt-5", "my-deployment"),
        ("request", None, None, "gpt-5", "gpt-5"),
        ("response", "my-alias", None, "gpt-5-2025-08-07", "gpt-5-2025-08-07"),
        ("response", "my-alias", None, None, "my-alias"),
        ("request", None, None, None, "system.unknown_model"),
    ],
)
def test_the_resource_is_the_model_that_the_provider_prices(
    resource_from: str, asked: str | None, from_path: str | None, answered: str | None, resource: str
) -> None:
    match = Match("openai.chat", "system.openai", "openai", resource_from, from_path)
    call = replace(CALL, match=match, asked=Asked(asked), answer=replace(CALL.answer, model=answered))

    assert item(call)["resource"] == resource


def test_a_model_that_answered_under_another_name_is_kept_as_a_property() -> None:
    dated = replace(CALL, answer=replace(CALL.answer, model="gpt-5-2025-08-07"))

    assert properties(dated) == {"system.response_model": "gpt-5-2025-08-07"}


def test_price_as_rewrites_category_and_resource() -> None:
    priced = item(who=Annotations(price_as_category="system.azureopenai", price_as_resource="gpt-4"))

    assert (priced["category"], priced["resource"]) == ("system.azureopenai", "gpt-4")


def test_the_providers_own_scope_counts_unless_the_app_names_one() -> None:
    local = replace(CALL, answer=replace(CALL.answer, usage=Usage(input_tokens=1, scope="datazone.us")))

    assert item(local)["scope"] == "datazone.us"
    assert item(local, WHO)["scope"] == "datazone.eu"


# --- properties ------------------------------------------------------------------------------------------------------


def test_the_usual_service_tiers_are_nothing_special() -> None:
    for tier in ("default", "standard", "auto"):
        assert properties(replace(CALL, answer=replace(CALL.answer, service_tier=tier))) == {}


def test_automatic_properties_say_what_is_special_about_the_call() -> None:
    odd = replace(
        CALL,
        ended_early=True,
        answer=replace(CALL.answer, service_tier="flex", notes={"system.usage.missing": "stream"}),
    )

    assert properties(odd) == {
        "system.usage.missing": "stream",
        "system.stream": "ended before the provider's last event",
        "system.service_tier": "flex",
    }


def test_impossible_numbers_are_noted() -> None:
    impossible = replace(CALL, answer=replace(CALL.answer, usage=Usage(input_tokens=1, cache_read=5)))

    assert properties(impossible) == {"system.usage.clamped": "cache_read"}


def test_the_users_own_properties_win_over_the_automatic_ones() -> None:
    own = Annotations(
        request_properties={"system.stream": "mine", "session_id": "mine, too", "system.failure": "ok"}, session_id="s1"
    )

    assert properties(replace(CALL, ended_early=True, status=500), own) == {
        "system.stream": "mine",
        "session_id": "mine, too",
        "system.failure": "ok",
    }


# --- failures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "failure", "error_code", "reported"),
    [
        (200, None, None, 200),
        (201, None, None, 201),
        (400, None, "invalid_request", 400),
        (500, None, None, 500),
        (529, "ReadError", "overloaded", 529),
        (None, "ConnectTimeout", None, 299),
        (None, None, None, 299),
        (200, "ReadError", None, 299),
        (200, None, "server_error", 299),
    ],
)
def test_a_failure_without_an_http_error_status_is_reported_as_299(
    status: int | None, failure: str | None, error_code: str | None, reported: int
) -> None:
    call = replace(CALL, status=status, failure=failure, answer=replace(CALL.answer, error_code=error_code))

    assert item(call)["http_status_code"] == reported


def test_a_clients_failure_is_named_by_its_type() -> None:
    failed = replace(CALL, status=None, failure="ConnectTimeout", answer=Answer())

    assert properties(failed) == {"system.failure": "ConnectTimeout"}
    assert item(failed)["units"] == {}


def test_a_providers_failure_is_named_by_its_code_or_by_its_status() -> None:
    named = replace(CALL, status=400, answer=Answer(error_code="invalid_request"))

    assert properties(named) == {"system.failure": "invalid_request"}
    assert properties(replace(CALL, status=502, answer=Answer())) == {"system.failure": "http_502"}


def test_an_error_in_a_stream_of_status_200_is_a_failure() -> None:
    broken = replace(CALL, answer=Answer(error_code="server_error"))

    assert properties(broken) == {"system.failure": "server_error"}


# --- privacy ---------------------------------------------------------------------------------------------------------

TALKATIVE = replace(
    CALL,
    status=400,
    answer=Answer(
        response_id="r",
        error_code="invalid_request",
        error_message="your prompt 'my secret' is too long",
        function_calls=(FunctionCall("look_up", '{"name": "my secret"}'), FunctionCall("stop")),
    ),
)


def test_arguments_and_error_messages_stay_at_home_unless_content_is_asked_for() -> None:
    report = item(TALKATIVE)

    assert "my secret" not in str(report)
    assert report["provider_response_function_calls"] == [{"name": "look_up"}, {"name": "stop"}]


def test_content_is_reported_where_it_was_asked_for() -> None:
    asked = replace(TALKATIVE, content=Content('{"model": "gpt-5"}', ["{}", "[DONE]"]))

    report = build_report(asked, NOTHING)

    assert report.log_content
    assert report.item["provider_request_json"] == '{"model": "gpt-5"}'
    assert report.item["provider_response_json"] == ["{}", "[DONE]"]
    assert report.item["provider_response_function_calls"] == [
        {"name": "look_up", "arguments": '{"name": "my secret"}'},
        {"name": "stop"},
    ]
    assert report.item["properties"]["system.failure.description"] == "your prompt 'my secret' is too long"


def test_a_hashed_user_id_is_its_hmac_and_the_id_itself_is_nowhere() -> None:
    report = item(who=Annotations(user_id="zoë"), hash_user=user_hash("key"))

    assert report["user_id"] == hmac.new(b"key", "zoë".encode(), hashlib.sha256).hexdigest()
    assert "zoë" not in str(report)


def test_hashing_takes_any_text_and_leaves_nobody_anonymous_alone() -> None:
    assert len(user_hash("key")("\ud800")) == 64
    assert "user_id" not in item(hash_user=user_hash("key"))


def test_an_empty_key_is_a_wrong_setting() -> None:
    with pytest.raises(ConfigurationError, match="user_id_hmac_key"):
        user_hash("")


def test_an_id_that_other_answers_have_too_does_not_make_the_report_idempotent() -> None:
    drawn = replace(CALL, answer=replace(CALL.answer, unique_id=False))

    first, second = item(drawn), item(drawn)

    assert first["provider_response_id"].startswith("payi_")
    assert first["provider_response_id"] != second["provider_response_id"]
    assert first["properties"]["system.provider_response_id"] == "chatcmpl-1"
    assert "system.provider_response_id" not in properties(CALL)


def test_redaction_has_the_last_word() -> None:
    seen: dict[str, Any] = {}

    def redact(report: dict[str, Any]) -> dict[str, Any]:
        seen.update(report)
        return {**report, "user_id": "somebody"}

    report = build_report(CALL, WHO, redact=redact, hash_user=user_hash("key"))

    assert report.item["user_id"] == "somebody"
    assert seen["user_id"] != "alice"
    assert seen["provider_response_id"] == "chatcmpl-1"


def test_what_a_redaction_returns_is_reported_as_json_has_it() -> None:
    def redact(report: dict[str, Any]) -> dict[str, Any]:
        return {**report, "request_tags": ("a", "b"), "properties": {1: "one"}}

    report = build_report(CALL, WHO, redact=redact)

    assert (report.item["request_tags"], report.item["properties"]) == (["a", "b"], {"1": "one"})


def test_a_redaction_that_fails_lets_nothing_out() -> None:
    def redact(report: dict[str, Any]) -> dict[str, Any]:
        raise RuntimeError("cannot say")

    with pytest.raises(RuntimeError, match="cannot say"):
        build_report(CALL, WHO, redact=redact)


def test_a_report_that_is_packed_says_the_same() -> None:
    item = {"category": "c", "resource": "\ud800", "units": {"text": {"input": 1}}, "provider_response_id": "r"}
    report, packed = Report(item, "openai/3", log_content=True), Report(item, "openai/3", log_content=True)

    packed.pack()

    assert packed.item == report.item == item
    assert packed.encoded() == report.encoded()
    assert (packed.category, packed.provider_response_id, packed.size) == ("c", "r", report.size)
    assert (packed.module, packed.log_content) == ("openai/3", True)


def test_a_report_cannot_be_changed() -> None:
    report = Report({"category": "c"})

    with pytest.raises(AttributeError):
        report.module = "other"  # type: ignore[misc]
