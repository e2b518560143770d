"""aiobotocore: Bedrock's calls plain and streamed, for several users; it makes them with aiohttp."""

from __future__ import annotations

import asyncio
import importlib
import json
from typing import Any

from tests.compat.cases.metering import Metered, metered
from tests.transport.bedrock import CLAUDE, CONVERSATION, CONVERSED, MESSAGE, MODEL, Reply, serving, whole

_COUNTED = (27, 3)
_MESSAGE = {**MESSAGE, "usage": {"input_tokens": 27, "output_tokens": 3}}


def _asked(prompt: str) -> list[dict[str, object]]:
    return [{"role": "user", "content": [{"text": prompt}]}]


async def _ask(world: Metered, url: str) -> None:
    config: Any = importlib.import_module("aiobotocore.config")
    session: Any = importlib.import_module("aiobotocore.session").get_session()
    making = session.create_client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=url,
        aws_access_key_id="AKIAEXAMPLE",
        aws_secret_access_key="example",
        config=config.AioConfig(connect_timeout=5, read_timeout=10),
    )
    async with making as bedrock:
        with world.asking("ann") as prompt:
            assert (await bedrock.converse(modelId=MODEL, messages=_asked(prompt)))["usage"]
        with world.asking("bob") as prompt:
            streamed = await bedrock.converse_stream(modelId=MODEL, messages=_asked(prompt))
            assert [event async for event in streamed["stream"]]
        with world.asking("carol") as prompt:
            invoked = await bedrock.invoke_model(modelId=CLAUDE, body=json.dumps({"messages": _asked(prompt)}))
            assert json.loads(await invoked["body"].read())


if __name__ == "__main__":
    with metered() as world, serving() as server:
        server.replies[:] = [whole(CONVERSED), Reply(CONVERSATION), whole(_MESSAGE)]
        asyncio.run(_ask(world, server.url))
        world.check_elsewhere(_COUNTED)
