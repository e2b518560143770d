"""Where the recording of a call begins: what calls of one kind have in common is found out once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from payi_middleware import beginning
from payi_middleware.beginning import begin
from payi_middleware.context import Frame
from payi_middleware.kinds import Kind
from payi_middleware.providers import recognised
from payi_middleware.urls import Target, target_at
from tests.unit.world import CHAT, Owner, request

JSON = {"content-type": "application/json"}
SIGNED = {**JSON, "authorization": "AWS4-HMAC-SHA256 Credential=AKIA/20260101/us-east-1/bedrock/aws4_request, Signed"}
GATEWAY = target_at("http", "gateway.internal", None, "/model/my-own/converse")
RESPONSES = target_at("https", "gateway.internal", None, "/v1/responses")


@pytest.fixture(autouse=True)
def _nothing_known() -> Iterator[None]:
    beginning._kinds.clear()
    yield
    beginning._kinds.clear()


def kind_of(
    target: Target = CHAT, headers: Mapping[str, str] = JSON, agent: bytes | None = None, owner: Owner | None = None
) -> Kind | None:
    frame = Frame(request(owner=owner or Owner()))
    exchange = begin("POST", target, headers, b"{}", frame, agent=agent)
    return None if exchange is None else exchange.kind


def test_calls_that_one_sdk_makes_to_one_place_are_of_one_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    owner = Owner()
    first = kind_of(owner=owner)
    monkeypatch.setattr(beginning, "recognised", None)

    assert first is not None
    assert kind_of(owner=owner) is first


def test_another_sdk_makes_calls_of_another_kind() -> None:
    owner = Owner()
    kinds = [kind_of(agent=agent, owner=owner) for agent in (b"OpenAI/Python 3.54.0", b"Groq/Python 1.0.0", None)]

    assert [kind and kind.module for kind in kinds] == ["openai/3.54.0", "groq/1.0.0", None]


def test_each_app_s_own_hosts_count_for_its_calls_to_one_place() -> None:
    plain, custom = Owner(), Owner()
    custom.providers = {"gateway.internal": ("openai", "system.azureopenai")}
    told = [kind_of(RESPONSES, owner=owner) for owner in (plain, custom, plain)]

    assert [kind and kind.match.category for kind in told] == ["system.openai", "system.azureopenai", "system.openai"]


def test_a_header_that_decides_what_a_request_is_is_looked_at_each_time() -> None:
    owner = Owner()
    form = {"content-type": "application/x-www-form-urlencoded"}
    told = [kind_of(RESPONSES, headers, owner=owner) is not None for headers in (JSON, form, JSON)]

    assert told == [True, False, True]


def test_what_a_key_decides_is_found_out_each_time() -> None:
    assert kind_of(GATEWAY, SIGNED) is not None
    assert recognised("POST", "gateway.internal", None, GATEWAY.path, SIGNED).noted is None
    assert beginning._kinds == {}


def test_no_more_kinds_are_kept_than_an_app_may_have() -> None:
    owner = Owner()
    for number in range(1_200):
        assert kind_of(target_at("https", f"host{number}.example", None, "/v1/chat/completions"), owner=owner)
        assert len(beginning._kinds) <= 512
