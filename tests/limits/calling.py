"""Calls that cost about a cent each, and processes that make many of them at once."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import openai

from payi_middleware import Settings, flush, instrument

KEY = "sk-secret-of-the-app"
TOKENS = 16_650
CALL: dict[str, Any] = {
    "model": "gpt-4o-mini",
    "messages": [{"role": "user", "content": "Which city is the capital of Norway?"}],
    "max_tokens": TOKENS + 20,
}
"""What it may cost is what it does cost, nearly: a cent."""
DEAR = {"x-stand-in": json.dumps({"reasoning_tokens": TOKENS})}
CENT = 0.0101
"""USD: more than one of them costs."""


def client(url: str, **options: Any) -> openai.OpenAI:
    """Return a client of the stand-in provider whose calls are dear."""
    return openai.OpenAI(api_key=KEY, base_url=url, default_headers=DEAR, **options)


async def call(client: openai.AsyncOpenAI) -> str:
    """Make a call and say what became of it."""
    try:
        await client.chat.completions.create(**CALL)
    except openai.APIStatusError as error:
        told = error.response.json()
        return str(told["xproxy_error"]["code"]) if "xproxy_error" in told else f"HTTP {error.status_code}"
    return "answered"


async def calls(url: str, count: int) -> Counter[str]:
    """Make many calls at once."""
    async with openai.AsyncOpenAI(api_key=KEY, base_url=url, default_headers=DEAR, max_retries=0) as client:
        return Counter(await asyncio.gather(*[call(client) for _ in range(count)]))


def main(url: str, count: str, settings: str) -> None:
    """Make calls in a process of its own, and print what became of them."""
    instrument(Settings(**json.loads(settings)))
    print(json.dumps(asyncio.run(calls(url, int(count)))), flush=True)  # noqa: T201 - it is the parent's pipe
    assert flush(60)


def crowd(url: str, settings: Sequence[Mapping[str, Any]], count: int) -> Counter[str]:
    """Make calls in as many processes as there are settings, and return what became of all of them."""
    commands = [[sys.executable, "-m", __name__, url, str(count), json.dumps(each)] for each in settings]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
    total: Counter[str] = Counter()
    for process in processes:
        printed, _ = process.communicate(timeout=180)
        assert process.returncode == 0
        total.update(json.loads(printed))
    return total


if __name__ == "__main__":
    main(*sys.argv[1:])
