"""Which calls go through Pay-i: by the mode, the route, the block, the limits, and by nothing that a caller says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient

from payi_middleware import Settings, annotate, flush, instrument, track_context
from payi_middleware.exceptions import ConfigurationError
from payi_middleware.fastapi import instrument_app
from payi_middleware.service.ledger import Ledger
from tests.routing.calling import COMPLETION, HELLO, plain
from tests.service_proxy.serving import KEY, headers
from tests.transport.bedrock import Bedrock

Routed = Callable[..., Settings]


@pytest.fixture(autouse=True)
def _answers(scripted: Bedrock) -> None:
    scripted.replies = [plain(COMPLETION)]


def ask(url: str) -> Any:
    with openai.OpenAI(api_key="key", base_url=f"{url}/v1", max_retries=0) as client:
        return client.chat.completions.create(model="gpt-4o-mini", messages=HELLO)


def ways(scripted: Bedrock) -> list[str]:
    """Say of each call how it reached the provider: the proxy asks for answers that are not compressed."""
    return ["proxy" if headers["accept-encoding"] == "identity" else "direct" for _, headers, _ in scripted.asked]


def test_calls_go_directly_unless_somebody_says_otherwise(routed: Routed, scripted: Bedrock) -> None:
    instrument(routed("openai", mode="direct"))
    ask(scripted.url)

    assert ways(scripted) == ["direct"]


@pytest.mark.parametrize(("mode", "expected"), [("direct", ["proxy", "direct"]), ("proxy", ["proxy", "direct"])])
def test_a_block_of_the_handler_wins_over_the_mode(
    mode: str, expected: list[str], routed: Routed, scripted: Bedrock, ledger: Ledger
) -> None:
    instrument(routed("openai", mode=mode))
    with track_context(proxy=True):
        ask(scripted.url)
        with track_context(proxy=False):
            ask(scripted.url)

    assert ways(scripted) == expected
    assert flush(10)
    assert len(ledger.requests()) == 1  # both have the same response id, and are booked once


def app_of(settings: Settings, url: str) -> FastAPI:
    app = FastAPI()

    @app.get("/usual")
    def usual() -> str:
        return str(ask(url).choices[0].message.content)

    @app.get("/guarded", dependencies=[Depends(lambda: annotate(proxy=True))])
    def guarded() -> str:
        return str(ask(url).choices[0].message.content)

    instrument_app(app, settings=settings)
    return app


def test_a_route_may_have_a_mode_of_its_own(routed: Routed, scripted: Bedrock) -> None:
    with TestClient(app_of(routed("openai", mode="direct"), scripted.url)) as client:
        assert client.get("/usual").json() == client.get("/guarded").json() == "Osl\u00f6"

    assert ways(scripted) == ["direct", "proxy"]


def test_the_caller_gets_the_same_headers_either_way(routed: Routed, scripted: Bedrock) -> None:
    with TestClient(app_of(routed("openai", mode="direct", user_id="u"), scripted.url)) as client:
        direct = {name: value for name, value in client.get("/usual").headers.items() if name.startswith("x-payi-")}
        scripted.replies = [plain(COMPLETION.replace(b"chatcmpl-1", b"chatcmpl-2"))]
        routed_ = {name: value for name, value in client.get("/guarded").headers.items() if name.startswith("x-payi-")}

    assert direct.pop("x-payi-request-id") != routed_.pop("x-payi-request-id")
    assert direct == routed_
    assert routed_["x-payi-status"] == "final"
    assert float(routed_["x-payi-cost"]) > 0


def test_in_auto_mode_calls_with_a_block_limit_go_through_pay_i(
    routed: Routed, scripted: Bedrock, new_limit: Callable[..., str]
) -> None:
    new_limit("1", "hard")
    new_limit("1", "soft", limit_type="allow")
    instrument(routed("openai", mode="auto"))
    for limit_ids in ([], ["soft"], ["hard"], ["soft", "hard"]):
        with track_context(limit_ids=limit_ids):
            ask(scripted.url)

    assert ways(scripted) == ["direct", "direct", "proxy", "proxy"]


def test_in_auto_mode_without_limits_of_our_own_all_calls_that_name_one_go_through_pay_i(
    routed: Routed, scripted: Bedrock, new_limit: Callable[..., str]
) -> None:
    new_limit("1", "soft", limit_type="allow")
    instrument(routed("openai", mode="auto", limits="off"))
    ask(scripted.url)
    with track_context(limit_ids=["soft"]):
        ask(scripted.url)

    assert ways(scripted) == ["direct", "proxy"]


def test_a_refusal_by_pay_i_reaches_the_app_as_it_is_and_names_the_limit_to_the_caller(
    routed: Routed, scripted: Bedrock, ledger: Ledger, new_limit: Callable[..., str]
) -> None:
    ledger.create_limit(limit_name="l", limit_id="hard", max=0.0000001, limit_type="block")
    settings = routed("openai", limits="off", limit_ids=["hard"])
    app = FastAPI()

    @app.get("/")
    def handler() -> Any:
        try:
            return ask(scripted.url).id
        except openai.BadRequestError as error:
            return error.response.json()

    instrument_app(app, settings=settings)
    with TestClient(app) as client:
        client.get("/")
        blocked = client.get("/")

    assert blocked.json()["xproxy_error"]["code"] == "limit_reached"
    assert blocked.json()["xproxy_result"]["blocked_limit_ids"] == ["hard"]
    assert blocked.headers["x-payi-blocked-limit-ids"] == "hard"
    assert len(scripted.asked) == 1
    assert flush(10)
    assert sorted(record.blocked for record in ledger.requests()) == [False, True]


def test_a_call_that_on_limit_lets_pass_goes_to_the_provider_directly(
    routed: Routed, scripted: Bedrock, ledger: Ledger, service_url: str
) -> None:
    ledger.create_limit(limit_name="l", limit_id="hard", max=0.0000001, limit_type="block")
    said = headers(f"{scripted.url}/v1", limit_ids="hard")
    proxy = f"{service_url}/api/v1/proxy/openai/v1"
    with openai.OpenAI(api_key="key", base_url=proxy, default_headers=said) as somebody_else:
        somebody_else.chat.completions.create(model="gpt-4o-mini", messages=HELLO)
    instrument(routed("openai", limit_ids=["hard"], on_limit=lambda state, limit, call: state == "blocked" or None))
    ask(scripted.url)

    assert ways(scripted) == ["proxy", "direct"]


@pytest.mark.parametrize(
    "sent",
    [
        {"headers": {"xProxy-Limit-IDs": "other", "proxy": "false", "xProxy-Mode": "direct"}},
        {"params": {"proxy": "false", "limit_ids": "other", "mode": "direct"}},
        {"headers": {"baggage": "proxy=false,limit_ids=other,payi.limit_ids=other,payi.proxy=false"}},
    ],
    ids=["headers", "query", "baggage"],
)
def test_nothing_that_a_caller_sends_changes_the_way_or_the_limits(
    sent: dict[str, Any], routed: Routed, scripted: Bedrock, ledger: Ledger, new_limit: Callable[..., str]
) -> None:
    new_limit("1", "hard")
    new_limit("1", "other")
    settings = routed("openai", mode="auto", limit_ids=["hard"], trusted_proxies=["0.0.0.0/0"])
    with TestClient(app_of(settings, scripted.url), client=("127.0.0.1", 5)) as client:
        client.get("/usual", **sent)

    assert ways(scripted) == ["proxy"]
    assert flush(10)
    (record,) = ledger.requests()
    assert set(record.limits) == {"hard"}


@pytest.mark.parametrize("value", ["M\u00fcller", "a,b\r\nx-evil: 1"], ids=["beyond-ascii", "line-break"])
def test_what_cannot_travel_in_a_header_goes_directly_and_is_not_lost(
    value: str, routed: Routed, scripted: Bedrock, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    instrument(routed("openai"))
    with track_context(user_id=value):
        ask(scripted.url)

    assert ways(scripted) == ["direct"]
    assert flush(10)
    assert [record.user_id for record in ledger.requests()] == [value]
    assert "cannot travel in a header" in caplog.text
    assert value not in caplog.text


def test_a_host_that_nobody_has_named_is_called_directly(
    service_url: str, scripted: Bedrock, caplog: pytest.LogCaptureFixture
) -> None:
    instrument(Settings(base_url=service_url, api_key=KEY, mode="proxy"))
    ask(scripted.url)

    assert ways(scripted) == ["direct"]
    assert "Settings.providers" in caplog.text


def test_user_ids_are_hashed_and_the_app_s_redaction_has_the_last_word(
    routed: Routed, scripted: Bedrock, ledger: Ledger
) -> None:
    def redact(body: dict[str, Any]) -> dict[str, Any]:
        return {**body, "account_name": "redacted"}

    instrument(routed("openai", user_id_hmac_key="secret", redact=redact))
    with track_context(user_id="user-17", account_name="acme"):
        ask(scripted.url)

    (record,) = ledger.requests()
    assert ways(scripted) == ["proxy"]
    assert len(record.user_id or "") == 64
    assert record.account_name == "redacted"


def test_prompts_are_kept_only_where_the_app_wants_it(routed: Routed, scripted: Bedrock, ledger: Ledger) -> None:
    instrument(routed("openai"))
    ask(scripted.url)
    scripted.replies = [plain(COMPLETION.replace(b"chatcmpl-1", b"chatcmpl-2"))]
    with track_context(log_prompt_and_response=True):
        ask(scripted.url)

    kept = sorted("provider_request_json" in record.exchange for record in ledger.requests())
    assert kept == [False, True]


def test_proxy_mode_with_the_embedded_ledger_is_an_error_at_start_up(ledger_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"mode: .*PAYI_BASE_URL"):
        instrument(Settings(ledger=ledger_path, mode="proxy"))


def test_a_block_that_asks_for_a_proxy_where_there_is_none_is_called_directly_with_a_warning(
    settings: Settings, scripted: Bedrock, caplog: pytest.LogCaptureFixture
) -> None:
    instrument(settings)
    with track_context(proxy=True):
        ask(scripted.url)

    assert ways(scripted) == ["direct"]
    assert "embedded ledger" in caplog.text
