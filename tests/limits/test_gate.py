"""What an app sees of its limits: waiting, degrading, headers, the door's own answer; and what it never suffers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import httpx
import openai
import pytest
from fastapi import FastAPI
from flask import Flask
from starlette.testclient import TestClient

from payi_middleware import Settings, flush, instrument, parse_headers, track_context
from payi_middleware.context import current_frame
from payi_middleware.demo.provider import Provider
from payi_middleware.exceptions import ConfigurationError
from payi_middleware.fastapi import instrument_app
from payi_middleware.flask import Payi
from payi_middleware.granting import Asked
from payi_middleware.limits.budget import LimitView
from payi_middleware.limits.gate import LimitedCall
from payi_middleware.service.accounts import leases
from payi_middleware.service.ledger import Ledger
from tests.limits.calling import CALL, CENT, KEY, client
from tests.service_proxy.serving import KEY as PAYI_KEY
from tests.transport.serving import unused_port

NewLimit = Callable[..., str]


def spend(ledger: Ledger, limit_id: str = "budget", tokens: int = 20_000) -> None:
    """Charge a limit with 0.012 USD, or what so many tokens cost."""
    units = {"text": {"input": 0, "output": tokens}}
    ledger.ingest({"category": "system.openai", "resource": "gpt-4o-mini", "units": units, "limit_ids": [limit_id]})


def limited(remote: Settings, **changes: Any) -> Settings:
    """Settings by which every call names the limit."""
    return remote.model_copy(update={"limit_ids": ("budget",), **changes})


def ask(provider: Provider, **options: Any) -> Any:
    with client(provider.openai_url, **options) as sdk:
        return sdk.chat.completions.create(**CALL)


@contextmanager
def called(said: str | bool | None) -> Iterator[tuple[list[tuple[str, LimitView, LimitedCall]], Any]]:
    """An `on_limit` that always says the same, and what it was called with."""
    heard: list[tuple[str, LimitView, LimitedCall]] = []

    def on_limit(state: str, limit: LimitView, call: LimitedCall) -> str | bool | None:
        heard.append((state, limit, call))
        return said

    yield heard, on_limit


# --- waiting --------------------------------------------------------------------------------------------------------


def test_a_call_waits_for_the_one_before_it_where_the_budget_has_room_for_one(
    remote: Settings, ledger: Ledger, new_limit: NewLimit, provider: Provider
) -> None:
    new_limit("0.015")
    instrument(limited(remote, limit_wait=30.0))

    async def both() -> list[Any]:
        async with openai.AsyncOpenAI(api_key=KEY, base_url=provider.openai_url, max_retries=0) as sdk:
            asked = [sdk.chat.completions.create(**CALL) for _ in range(2)]
            return await asyncio.gather(*asked, return_exceptions=True)

    answers = asyncio.run(both())

    assert [type(answer).__name__ for answer in answers] == ["ChatCompletion"] * 2  # they were cheap after all
    assert flush(10)
    assert ledger.limit("budget")["totals"]["requests"]["total"] == 2


def test_a_call_that_may_not_wait_is_refused_while_the_room_is_taken(
    remote: Settings, new_limit: NewLimit, provider: Provider
) -> None:
    new_limit("0.015")
    instrument(limited(remote, limit_wait=0.5))
    slow = {"x-stand-in": json.dumps({"latency": 5})}

    async def both() -> list[Any]:
        async with openai.AsyncOpenAI(api_key=KEY, base_url=provider.openai_url, max_retries=0) as sdk:
            asked = [sdk.chat.completions.create(**CALL, extra_headers=slow) for _ in range(2)]
            return await asyncio.gather(*asked, return_exceptions=True)

    answers = asyncio.run(both())

    assert sorted(type(answer).__name__ for answer in answers) == ["BadRequestError", "ChatCompletion"]


def test_a_cancelled_wait_takes_no_room_and_leaves_no_report(
    remote: Settings, ledger: Ledger, new_limit: NewLimit, provider: Provider
) -> None:
    new_limit("0.015")
    instrument(limited(remote, limit_wait=30.0))
    slow = {"x-stand-in": json.dumps({"latency": 1})}

    async def run() -> None:
        async with openai.AsyncOpenAI(api_key=KEY, base_url=provider.openai_url, max_retries=0) as sdk:
            first = asyncio.create_task(sdk.chat.completions.create(**CALL, extra_headers=slow))
            while not provider.requests:
                await asyncio.sleep(0.01)
            second = asyncio.create_task(sdk.chat.completions.create(**CALL))
            await asyncio.sleep(0)
            third = asyncio.create_task(sdk.chat.completions.create(**CALL))
            while asyncio.current_task() is not None and not second.done():
                await asyncio.sleep(0.05)
                second.cancel()
            await first
            await third

    asyncio.run(run())

    assert flush(10)
    assert ledger.limit("budget")["totals"]["requests"]["total"] == 2


# --- what must not happen -------------------------------------------------------------------------------------------


def test_a_service_that_cannot_be_reached_stops_no_call(provider: Provider) -> None:
    with unused_port() as port:
        url = f"http://127.0.0.1:{port}"
        meter = instrument(Settings(base_url=url, api_key="k", limit_ids=["budget"], shutdown_timeout=0))

        assert ask(provider).choices

    assert meter.stats()["blocked"] == 0


def test_a_redis_that_cannot_be_reached_leaves_each_process_its_own_view_of_the_limit(
    remote: Settings, ledger: Ledger, new_limit: NewLimit, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_limit("0.025")
    became = []
    with unused_port() as port:
        monkeypatch.setenv("PAYI_REDIS_URL", f"redis://127.0.0.1:{port}/0")
        instrument(Settings(base_url=remote.base_url, api_key=PAYI_KEY, limit_ids=["budget"]))
        for _ in range(4):
            try:
                ask(provider)
                became.append("answered")
            except openai.BadRequestError:
                became.append("refused")

    assert became == ["answered"] * 3 + ["refused"]


def test_a_limit_that_does_not_exist_stops_no_call(remote: Settings, provider: Provider) -> None:
    instrument(limited(remote))

    assert ask(provider).choices


def test_calls_that_fail_give_their_room_back(remote: Settings, new_limit: NewLimit, provider: Provider) -> None:
    new_limit("0.015")
    instrument(limited(remote))
    failing = {"x-stand-in": json.dumps({"status": 500})}
    with openai.OpenAI(api_key=KEY, base_url=provider.openai_url, max_retries=0) as sdk:
        for _ in range(5):
            with pytest.raises(openai.InternalServerError):
                sdk.chat.completions.create(**CALL, extra_headers=failing)

    assert ask(provider).choices


def test_what_a_killed_process_held_is_free_again_after_some_seconds(
    remote: Settings, ledger: Ledger, new_limit: NewLimit, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_limit("0.01")
    monkeypatch.setattr(leases, "_HELD_MICROS", 1_000_000)
    ledger.lease("budget", "of a killed process", Asked(in_use=0, first=10**7, total=10**7))
    instrument(limited(remote, limit_wait=60.0))

    assert ask(provider).choices


def test_streams_that_are_left_early_give_their_room_back(
    remote: Settings, new_limit: NewLimit, provider: Provider
) -> None:
    new_limit("0.015")
    instrument(limited(remote))
    with openai.OpenAI(api_key=KEY, base_url=provider.openai_url, max_retries=0) as sdk:
        for _ in range(5):
            with sdk.chat.completions.create(**CALL, stream=True) as stream:
                next(iter(stream))

    assert ask(provider).choices


@pytest.mark.parametrize(
    ("url", "why"),
    [("nonsense", "PAYI_REDIS_URL"), ("http://x", "PAYI_REDIS_URL")],
    ids=["no url", "of something else"],
)
def test_a_wrong_redis_url_is_an_error_at_start_up(url: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        instrument(Settings(base_url="http://127.0.0.1:1", redis_url=url))


# --- clients --------------------------------------------------------------------------------------------------------


def test_a_caller_cannot_raise_drop_or_swap_limits(
    remote: Settings, ledger: Ledger, new_limit: NewLimit, provider: Provider
) -> None:
    new_limit("0.01")
    new_limit("100", "roomy")
    spend(ledger)
    app = FastAPI()

    @app.post("/ask")
    def handler() -> str:
        try:
            ask(provider)
        except openai.BadRequestError as error:
            return ",".join(error.response.json()["xproxy_result"]["blocked_limit_ids"])
        return "answered"

    instrument_app(app, settings=limited(remote))
    sent = {
        "xProxy-Limit-IDs": "roomy",
        "X-Payi-Limit-Ids": "roomy",
        "baggage": "limit_ids=roomy,payi.limit_ids=roomy",
        "xProxy-UseCase-Version": "7",
    }
    with TestClient(app, client=("127.0.0.1", 50_000)) as caller:
        for headers in ({}, sent, {"xProxy-Limit-IDs": ""}):
            answer = caller.post("/ask?limit_ids=roomy", headers=headers, json={"limit_ids": ["roomy"]})
            assert answer.json() == "budget"

    assert ledger.limit("roomy")["totals"]["requests"]["total"] == 0


# --- on_limit -------------------------------------------------------------------------------------------------------


def test_the_app_may_let_a_call_pass(remote: Settings, ledger: Ledger, new_limit: NewLimit, provider: Provider) -> None:
    new_limit("0.01")
    spend(ledger)
    with called(True) as (heard, on_limit):
        instrument(limited(remote, on_limit=on_limit))
        with track_context(user_id="alice"):
            ask(provider)

    (state, limit, call), *more = heard
    assert (state, more) == ("blocked", [])
    assert (limit.limit_id, limit.limit_name, limit.limit_type) == ("budget", "The budget", "block")
    assert (limit.max, limit.spent) == (Decimal("0.01"), Decimal("0.012"))
    assert (call.category, call.resource, call.annotations.user_id) == ("system.openai", "gpt-4o-mini", "alice")
    assert 0.0099 < call.estimate < CENT


def test_the_app_may_have_another_model_asked(
    remote: Settings, ledger: Ledger, new_limit: NewLimit, provider: Provider
) -> None:
    new_limit("0.01")
    spend(ledger)
    with called("gpt-4.1-nano") as (_, on_limit):
        instrument(limited(remote, on_limit=on_limit))
        ask(provider)
    assert flush(10)

    assert provider.requests[-1].body == {**CALL, "model": "gpt-4.1-nano"}
    assert ledger.requests(limit=1)[0].resource == "gpt-4.1-nano"


def test_the_app_is_asked_before_the_limit_is_reached(
    remote: Settings, ledger: Ledger, new_limit: NewLimit, provider: Provider
) -> None:
    new_limit("0.015", threshold=0.75)
    spend(ledger)
    with called("gpt-4.1-nano") as (heard, on_limit):
        instrument(limited(remote, on_limit=on_limit))
        ask(provider)

    assert [state for state, _, _ in heard] == ["exceeded"]
    asked = provider.requests[-1].body
    assert asked is not None
    assert asked["model"] == "gpt-4.1-nano"


@pytest.mark.parametrize("said", [None, False], ids=["nothing", "no"])
def test_an_app_that_does_not_object_has_the_call_refused(
    said: bool | None, remote: Settings, ledger: Ledger, new_limit: NewLimit, provider: Provider
) -> None:
    new_limit("0.01")
    spend(ledger)
    with called(said) as (_, on_limit):
        instrument(limited(remote, on_limit=on_limit))
        with pytest.raises(openai.BadRequestError):
            ask(provider)


def test_an_on_limit_that_fails_counts_as_silent(
    remote: Settings, ledger: Ledger, new_limit: NewLimit, provider: Provider
) -> None:
    new_limit("0.01")
    spend(ledger)

    def on_limit(state: str, limit: LimitView, call: LimitedCall) -> None:
        raise RuntimeError("of the app")

    instrument(limited(remote, on_limit=on_limit))
    with pytest.raises(openai.BadRequestError):
        ask(provider)


# --- headers and the door -------------------------------------------------------------------------------------------


def test_the_caller_is_told_which_limits_blocked_a_call(
    remote: Settings, ledger: Ledger, new_limit: NewLimit, provider: Provider
) -> None:
    new_limit("0.01")
    spend(ledger)
    app = FastAPI()

    @app.get("/")
    async def handler() -> str:
        async with openai.AsyncOpenAI(api_key=KEY, base_url=provider.openai_url) as sdk:
            with pytest.raises(openai.BadRequestError):
                await sdk.chat.completions.create(**CALL)
        return "blocked"

    instrument_app(app, settings=limited(remote, header_wait=0.0))
    with TestClient(app) as caller:
        summary = parse_headers(caller.get("/").headers)

    assert summary.calls == 1
    assert summary.blocked_limit_ids == ("budget",)
    assert summary.limits == {"budget": "blocked"}
    assert summary.cost is None


def test_a_cost_whose_result_is_not_in_is_estimated_and_labelled_so(provider: Provider) -> None:
    with unused_port() as port:
        url = f"http://127.0.0.1:{port}"
        meter = instrument(Settings(base_url=url, api_key="k", header_wait=0, shutdown_timeout=0))
        with track_context(user_id="alice"):
            ask(provider)
            frame = current_frame()
            assert frame is not None
            while (summary := frame.scope.summary()).cost is None:
                assert not meter.flush(0.05)

    assert (summary.status, summary.cost_source) == ("pending", "estimate")
    assert 0.0099 < float(summary.cost or 0) < CENT


def test_estimates_are_compared_with_the_final_figures(
    remote: Settings, ledger: Ledger, new_limit: NewLimit, provider: Provider
) -> None:
    new_limit("1")
    meter = instrument(limited(remote))
    for _ in range(3):
        ask(provider)
        assert flush(10)

    stats = meter.stats()
    assert stats["estimated"] >= 2
    assert stats["estimate_error"] == pytest.approx(0, abs=1e-6)


def fastapi_door(settings: Settings) -> tuple[Callable[..., Any], list[str]]:
    app, handled = FastAPI(), list[str]()

    @app.get("/")
    def handler() -> str:
        handled.append("yes")
        return "handled"

    instrument_app(app, settings=settings)
    return TestClient(app).get, handled


def flask_door(settings: Settings) -> tuple[Callable[..., Any], list[str]]:
    app, handled = Flask(__name__), list[str]()

    @app.get("/")
    def handler() -> str:
        handled.append("yes")
        return "handled"

    Payi(app, settings=settings)
    return app.test_client().get, handled


@pytest.mark.parametrize("door", [fastapi_door, flask_door], ids=["fastapi", "flask"])
@pytest.mark.parametrize("status", [402, 429])
def test_the_door_itself_answers_while_a_limit_of_all_calls_is_reached(
    door: Any, status: int, remote: Settings, ledger: Ledger, new_limit: NewLimit, provider: Provider
) -> None:
    new_limit("0.01")
    spend(ledger)
    settings = limited(remote, blocked_status=status)
    instrument(settings)
    with pytest.raises(openai.BadRequestError):  # from now on the state of the limit is known
        ask(provider)
    get, handled = door(settings)

    answer = get("/", headers={"Origin": "https://app.example"})

    body = json.loads(answer.content if hasattr(answer, "content") else answer.data)
    assert (answer.status_code, handled) == (status, [])
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["retry-after"] == "60"
    assert (body["status"], body["code"], body["blocked_limit_ids"]) == (status, "limit_reached", ["budget"])
    assert parse_headers(dict(answer.headers)).blocked_limit_ids == ("budget",)
    assert "X-Payi-Blocked-Limit-Ids" in answer.headers["access-control-expose-headers"]


def test_the_door_lets_requests_in_while_the_limit_has_room(
    remote: Settings, new_limit: NewLimit, provider: Provider
) -> None:
    new_limit("1")
    settings = limited(remote, blocked_status=402)
    instrument(settings)
    ask(provider)
    get, handled = fastapi_door(settings)

    assert get("/").status_code == 200
    assert handled == ["yes"]


def test_the_limit_of_a_use_cases_instance_is_kept_too(
    remote: Settings, ledger: Ledger, provider: Provider, service_url: str
) -> None:
    with httpx.Client(base_url=service_url, headers={"xProxy-api-key": PAYI_KEY}) as payi:
        definition = {
            "name": "chat",
            "description": "A chat",
            "limit_config": {"max": 0.015, "limit_type": "block"},
        }
        payi.post("/api/v1/use_cases/definitions", json=definition).raise_for_status()
    instrument(remote)
    with track_context(use_case_name="chat", use_case_id="7"):
        for _ in range(2):
            ask(provider)
            assert flush(10)
        with pytest.raises(openai.BadRequestError):
            ask(provider)
    with track_context(use_case_name="chat", use_case_id="8"):
        ask(provider)
