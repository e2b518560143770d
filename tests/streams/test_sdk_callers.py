"""The SDKs of openai and anthropic as callers of apps that stream in their formats, and read the final cost."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from queue import Queue
from typing import Any

import pytest

from payi_middleware import Settings, Summary, parse_headers
from payi_middleware.demo.provider import Provider
from tests.streams import sdk_caller
from tests.streams.chat_apps import served_fastapi, served_flask
from tests.streams.conftest import Options

PATIENCE = 60
Serve = Callable[[Provider, Settings], AbstractContextManager[str]]
APPS: dict[str, Serve] = {"fastapi": served_fastapi, "flask": served_flask}


def call(sdk: str, url: str) -> Any:
    """Call an app from another process, in which no call is metered."""
    program = [sys.executable, str(Path(sdk_caller.__file__)), sdk, url]
    done = subprocess.run(program, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("sdk", ["openai", "anthropic"])
@pytest.mark.parametrize("app", APPS)
def test_a_caller_reads_what_a_stream_cost_in_each_of_the_ways(
    app: str, sdk: str, provider: Provider, options: Options
) -> None:
    told: Queue[Summary] = Queue()
    settings = Settings(**options, sse_summary=True, results_path="/payi", on_summary=told.put)
    with APPS[app](provider, settings) as url:
        found = call(sdk, url)
        summaries = [told.get(timeout=PATIENCE) for _ in range(2)]
    begun = parse_headers(found["headers"])
    event, route = (Summary.model_validate(found[way]) for way in ("event", "route"))

    assert found["text"].startswith("Stand-in answer to: Hello?")
    assert (begun.status, begun.cost) == ("pending", None)
    assert {event.status, route.status} == {"final"}
    assert event.cost == route.cost
    assert (route.cost or 0) > 0
    assert {event.request_ids, route.request_ids} == {summary.request_ids for summary in summaries}
    assert {summary.cost for summary in summaries} == {event.cost}


@pytest.mark.parametrize("sdk", ["openai", "anthropic"])
@pytest.mark.parametrize("app", APPS)
def test_what_the_sdk_makes_of_a_stream_is_the_same_without_the_event(
    app: str, sdk: str, provider: Provider, options: Options
) -> None:
    with APPS[app](provider, Settings(**options, sse_summary=True)) as url:
        with_event = call(sdk, url)
    with APPS[app](provider, Settings(**options)) as url:
        without = call(sdk, url)

    assert with_event["text"] == without["text"]
    assert with_event["event"] is not None
    assert without["event"] is None
