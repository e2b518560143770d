"""The calls of real SDKs, each given back as the raw bytes that its app gets."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import anthropic
import openai

from tests.service_proxy.wires import CHAT, CONVERSE, INVOKE, MESSAGES, RESPONSES
from tests.transport import bedrock
from tests.transport.bedrock import CLAUDE, CONVERSED, MESSAGE, Bedrock, Reply

SECRET = "sk-secret-of-the-app"
COMPLETION = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Osl\u00f6"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8},
    },
    ensure_ascii=False,
    indent=2,
).encode()
ANSWERED = json.dumps(
    {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": "gpt-4o-mini-2024-07-18",
        "output": [],
        "usage": {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15},
    }
).encode()
HELLO: Any = [{"role": "user", "content": "Which city is the capital of Norway?"}]


def plain(body: bytes, status: int = 200) -> Reply:
    """Return an answer that is one JSON text, byte by byte."""
    return Reply([body], status, "application/json", chunked=False)


def streamed(events: Any, content_type: str = "text/event-stream") -> Reply:
    """Return a stream."""
    return Reply(list(events), content_type=content_type)


def asking(stream: bool) -> dict[str, Any]:
    return {"stream": True, "stream_options": {"include_usage": True}} if stream else {}


def chat(url: str, *, stream: bool = False) -> bytes:
    with (
        openai.OpenAI(api_key=SECRET, base_url=f"{url}/v1", max_retries=0) as client,
        client.chat.completions.with_streaming_response.create(
            model="gpt-4o-mini", messages=HELLO, **asking(stream)
        ) as response,
    ):
        return b"".join(response.iter_bytes())


def responses(url: str, *, stream: bool = False) -> bytes:
    with (
        openai.OpenAI(api_key=SECRET, base_url=f"{url}/v1", max_retries=0) as client,
        client.responses.with_streaming_response.create(model="gpt-4o-mini", input="Hello", stream=stream) as response,
    ):
        return b"".join(response.iter_bytes())


def azure(url: str, *, stream: bool = False) -> bytes:
    with (
        openai.AzureOpenAI(api_key=SECRET, azure_endpoint=url, api_version="2024-10-21", max_retries=0) as client,
        client.chat.completions.with_streaming_response.create(
            model="my-deployment", messages=HELLO, **asking(stream)
        ) as response,
    ):
        return b"".join(response.iter_bytes())


def message(url: str, *, stream: bool = False) -> bytes:
    with (
        anthropic.Anthropic(api_key=SECRET, base_url=url, max_retries=0) as client,
        client.messages.with_streaming_response.create(
            model="claude-3-haiku-20240307", max_tokens=9, messages=HELLO, stream=stream
        ) as response,
    ):
        return b"".join(response.iter_bytes())


def claude_at_bedrock(url: str, *, stream: bool = False) -> bytes:
    with (
        anthropic.AnthropicBedrock(
            base_url=url, aws_region="us-east-1", aws_access_key="AKIAEXAMPLE", aws_secret_key="example", max_retries=0
        ) as client,
        client.messages.with_streaming_response.create(
            model=CLAUDE, max_tokens=9, messages=HELLO, stream=stream
        ) as response,
    ):
        return b"".join(response.iter_bytes())


CALLS: dict[str, tuple[Any, Callable[..., bytes], bytes, Any]] = {
    "openai-chat": ("openai", chat, COMPLETION, streamed(CHAT.events)),
    "openai-responses": ("openai", responses, ANSWERED, streamed(RESPONSES.events)),
    "azure": (("openai", "system.azureopenai"), azure, COMPLETION, streamed(CHAT.events)),
    "anthropic": ("anthropic", message, json.dumps(MESSAGE).encode(), streamed(MESSAGES.events)),
    "anthropic-bedrock": (
        "bedrock",
        claude_at_bedrock,
        json.dumps(MESSAGE).encode(),
        streamed(INVOKE.events, INVOKE.content_type),
    ),
}
"""By SDK: the wire of its host, the call, and the provider's plain and streamed answer."""


def converse(server: Bedrock, *, stream: bool = False) -> Any:
    """Call Bedrock by boto3, and return the answer without what botocore says of the connection."""
    client = bedrock.client(server.url)
    try:
        if stream:
            return list(client.converse_stream(modelId=bedrock.MODEL, messages=bedrock.MESSAGES)["stream"])
        answer = client.converse(modelId=bedrock.MODEL, messages=bedrock.MESSAGES)
        return {name: value for name, value in answer.items() if name != "ResponseMetadata"}
    finally:
        client.close()


BEDROCK = {"plain": plain(json.dumps(CONVERSED).encode()), "streamed": streamed(CONVERSE.events, CONVERSE.content_type)}


def invoke(server: Bedrock, *, stream: bool = False) -> Any:
    """Call a model at Bedrock by its own body, by boto3, and return what comes back, byte by byte."""
    client = bedrock.client(server.url)
    asked: dict[str, Any] = {"modelId": CLAUDE, "body": b'{"anthropic_version":"bedrock-2023-05-31","messages":[]}'}
    try:
        if stream:
            events = client.invoke_model_with_response_stream(**asked)["body"]
            return [event["chunk"]["bytes"] for event in events]
        return client.invoke_model(**asked)["body"].read()
    finally:
        client.close()


INVOKED = {"plain": plain(json.dumps(MESSAGE).encode()), "streamed": streamed(INVOKE.events, INVOKE.content_type)}
