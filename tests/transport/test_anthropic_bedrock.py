"""Claude on Bedrock by Anthropic's own SDK, which signs its requests and runs on httpx2."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from anthropic import AnthropicBedrock, AsyncAnthropicBedrock
from anthropic.types import MessageParam

from payi_middleware import Settings, instrument, result_of
from tests.transport.bedrock import CLAUDE, MESSAGE, MESSAGE_CHUNKS, Bedrock, Reply, serving, whole
from tests.transport.calling import only_report

ASKED: list[MessageParam] = [{"role": "user", "content": "Which city is the capital of Norway?"}]
PROFILE = f"arn:aws:bedrock:us-east-1:012345678901:inference-profile/{CLAUDE}"


@pytest.fixture(name="bedrock")
def _bedrock() -> Iterator[Bedrock]:
    with serving() as bedrock:
        bedrock.replies[:] = [whole(MESSAGE)]
        yield bedrock


def access(bedrock: Bedrock) -> dict[str, Any]:
    return {
        "base_url": bedrock.url,
        "aws_region": "us-east-1",
        "aws_access_key": "AKIAEXAMPLE",
        "aws_secret_key": "example",
        "max_retries": 0,
    }


def check(ledger_path: Path, resource: str = CLAUDE) -> None:
    report = only_report(ledger_path)
    assert (report.category, report.resource, report.http_status_code) == ("system.aws.bedrock", resource, 200)
    assert report.provider_response_id == "msg_bdrk_1"
    assert (report.units["text"]["input"], report.units["text"]["output"]) == (7, 3)
    assert "system.stream" not in report.properties


@pytest.mark.parametrize("model", [CLAUDE, PROFILE])
def test_a_message_is_reported(bedrock: Bedrock, settings: Settings, ledger_path: Path, model: str) -> None:
    instrument(settings)
    with AnthropicBedrock(**access(bedrock)) as client:
        message = client.messages.create(model=model, max_tokens=9, messages=ASKED)
    assert result_of(message).cost is not None
    assert "/bedrock/aws4_request" in bedrock.asked[0][1]["authorization"]
    check(ledger_path, model)


def test_a_stream_is_reported(bedrock: Bedrock, settings: Settings, ledger_path: Path) -> None:
    bedrock.replies[:] = [Reply(MESSAGE_CHUNKS)]
    instrument(settings)
    with AnthropicBedrock(**access(bedrock)) as client:
        events = list(client.messages.create(model=CLAUDE, max_tokens=9, messages=ASKED, stream=True))
    assert [event.type for event in events][-1] == "message_stop"
    check(ledger_path)


@pytest.mark.anyio
async def test_a_message_is_reported_async(bedrock: Bedrock, settings: Settings, ledger_path: Path) -> None:
    instrument(settings)
    async with AsyncAnthropicBedrock(**access(bedrock)) as client:
        await client.messages.create(model=CLAUDE, max_tokens=9, messages=ASKED)
    check(ledger_path)


@pytest.mark.anyio
async def test_a_stream_is_reported_async(bedrock: Bedrock, settings: Settings, ledger_path: Path) -> None:
    bedrock.replies[:] = [Reply(MESSAGE_CHUNKS)]
    instrument(settings)
    async with AsyncAnthropicBedrock(**access(bedrock)) as client:
        async for _ in await client.messages.create(model=CLAUDE, max_tokens=9, messages=ASKED, stream=True):
            pass
    check(ledger_path)
