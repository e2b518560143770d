"""Calls through the proxy are priced like reports: by one's own resources, and in the tier that the provider tells."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import openai
import pytest
from payi.lib.helpers import payi_azure_openai_url

from payi_middleware.service.ledger import Ledger
from payi_middleware.service.prices import own
from payi_middleware.service.prices.own import NewResource, Pair
from tests.service_proxy.serving import headers, service
from tests.transport import bedrock
from tests.transport.bedrock import Bedrock, whole

COMPLETION: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-5",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1000, "completion_tokens": 0, "total_tokens": 1000},
}


@pytest.fixture
def provider() -> Iterator[Bedrock]:
    """A server that answers what the test says: no stand-in of OpenAI's tells service tiers."""
    with bedrock.serving() as server:
        yield server


def asked(url: str, provider: Bedrock, told: dict[str, Any], **said: str) -> Any:
    provider.replies = [whole(COMPLETION | told)]
    with openai.AzureOpenAI(
        api_key="key-1",
        api_version="2024-10-21",
        azure_endpoint=payi_azure_openai_url(url),
        default_headers=headers(provider.url, **said),
        max_retries=0,
    ) as client:
        answer: Any = client.chat.completions.create(
            model="my-deployment", messages=[{"role": "user", "content": "Hi"}]
        )
    return answer.xproxy_result


def test_a_deployment_is_priced_as_the_resource_of_ones_own_that_it_names(ledger: Ledger, provider: Bedrock) -> None:
    units = {"text": (Decimal("0.001"), None), "text_priority": (Decimal("0.002"), None)}
    new = NewResource(pair=Pair("acme", "our-gpt"), units=units, start=datetime(2026, 1, 1, tzinfo=UTC))
    version = ledger.write(own.create, new, datetime.now(UTC))
    named = {"PriceAs_Category": "acme", "PriceAs_Resource": "our-gpt"}
    with service(ledger) as url:
        plain = asked(url, provider, {"service_tier": "default"}, **named)
        prior = asked(url, provider, {"service_tier": "priority", "id": "chatcmpl-2"}, **named)
    assert (plain["resource_id"], plain["cost"]["total"]["base"]) == (version.resource.resource_id, 1)
    assert (prior["resource_id"], prior["cost"]["total"]["base"]) == (version.resource.resource_id, 2)


def test_the_tier_that_a_provider_tells_is_charged_and_a_scope_without_a_price_warned_of(
    ledger: Ledger, provider: Bedrock
) -> None:
    openai_prices = {"PriceAs_Category": "system.openai", "PriceAs_Resource": "gpt-5"}
    with service(ledger) as url:
        flex = asked(url, provider, {"service_tier": "flex"}, **openai_prices)
        regional = asked(url, provider, {"id": "chatcmpl-2"}, Resource_Scope="datazone.eu")
    assert flex["cost"]["total"]["base"] == 1000 * 0.625e-6
    assert "warnings" not in flex
    assert regional["cost"]["total"]["base"] == 1000 * 1.25e-6
    assert regional["warnings"] == ["no price is known for the scope datazone.eu: priced without it"]
