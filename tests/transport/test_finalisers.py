"""Nothing of ours keeps an SDK's objects alive, and their finalisers may run anywhere."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from payi_middleware import Settings, instrument, result_of
from payi_middleware.demo.provider import Provider
from tests.transport.calling import CHAT, KEY, MESSAGE, MESSAGES, reports


@pytest.fixture(autouse=True)
def _no_collector() -> Iterator[None]:
    """Whatever is gone in these tests is gone by reference counts alone."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def _openai_answer(provider: Provider) -> Any:
    with openai.OpenAI(base_url=provider.openai_url, api_key=KEY) as client:
        return client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)


def _openai_stream(provider: Provider) -> Any:
    with openai.OpenAI(base_url=provider.openai_url, api_key=KEY) as client:
        stream = client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, stream=True)
        list(stream)
        return stream


def _anthropic_answer(provider: Provider) -> Any:
    with anthropic.Anthropic(base_url=provider.anthropic_url, api_key=KEY) as client:
        return client.messages.create(**MESSAGE)


@pytest.mark.parametrize("call", [_openai_answer, _openai_stream, _anthropic_answer])
@pytest.mark.parametrize("result_is_in", [False, True])
def test_an_sdks_object_lives_as_long_as_without_us(
    provider: Provider, settings: Settings, call: Callable[[Provider], Any], result_is_in: bool
) -> None:
    def survives() -> bool:
        answer = call(provider)
        if metered and result_is_in:
            result_of(answer)
        gone = weakref.ref(answer)
        del answer
        return gone() is not None

    metered = False
    without_us = survives()
    instrument(settings)
    metered = True
    assert survives() == without_us


def test_a_response_is_collectable_right_after_use(library: Any, provider: Provider, settings: Settings) -> None:
    instrument(settings)
    with library.Client() as client:
        response = client.post(f"{provider.openai_url}/chat/completions", json=CHAT)
        gone = weakref.ref(response)
        del response
        gc.collect()
        assert gone() is None


def test_an_open_stream_is_collectable(library: Any, provider: Provider, settings: Settings, ledger_path: Path) -> None:
    instrument(settings)
    with library.Client() as client:
        request = client.build_request("POST", f"{provider.openai_url}/chat/completions", json=CHAT)
        response = client.send(request, stream=True)
        chunks = response.iter_raw()
        next(chunks)
        gone = weakref.ref(response)
        del response, request, chunks
        gc.collect()
        assert gone() is None
        assert len(reports(ledger_path)) == 1


_HOSTILE = """
import gc, threading, openai
import payi_middleware as payi
from payi_middleware.service.ledger import Ledger

meter = payi.instrument(payi.Settings(ledger={ledger!r}))
client = openai.OpenAI(base_url={url!r}, api_key="key", max_retries=0)

def open_stream():
    stream = client.chat.completions.create(
        model="gpt-4o-mini", messages=[{{"role": "user", "content": "hello"}}], stream=True
    )
    next(stream)
    return stream

forgotten = []

def forget():
    if forgotten:
        forgotten.pop()
        gc.collect()  # an SDK's stream and its generator hold each other

class Hostile:
    "A lock inside which a forgotten stream is finalised each time it is taken."
    def __init__(self, lock): self.lock = lock
    def __getattr__(self, name): return getattr(self.lock, name)
    def __enter__(self):
        self.lock.__enter__()
        forget()
    def __exit__(self, *error): return self.lock.__exit__(*error)

{plant}
forgotten.extend([open_stream() for _ in range(20)])
for _ in range(20):
    open_stream().close()
assert payi.flush(10)
assert not forgotten, len(forgotten)
gc.collect()  # what was forgotten by a finaliser could not be collected there
assert payi.flush(10)
print(len(Ledger({ledger!r}).requests(limit=1000)), meter.stats()["dropped"])
"""


_IN_THE_SPOOL = """
meter.open()
spool = meter._delivery._home.spool
put = spool.put
spool.put = lambda record: (forget(), put(record), forget())[1]
"""


@pytest.mark.parametrize(
    "plant",
    [
        "meter._delivery._weighing = Hostile(meter._delivery._weighing)",
        _IN_THE_SPOOL,
        "gc.set_threshold(1); open_stream = lambda make=open_stream: (forget(), make())[1]",
    ],
)
def test_a_finaliser_inside_our_own_locks_neither_hangs_nor_loses_its_report(
    provider: Provider, ledger_path: Path, plant: str
) -> None:
    script = _HOSTILE.format(ledger=str(ledger_path), url=provider.openai_url, plant=plant)
    outcome = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert (outcome.stdout.split(), outcome.returncode) == (["40", "0"], 0), outcome.stderr
